"""What several studies begin with: a model learns a tool that it has never seen."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from punie.models.catalog import BUNDLED_ID
from punie.training.generator.presets import preset
from punie.training.studies.study import StepTables


class Lesson(BaseModel):
    """How the tool is learned.

    Attributes:
        family: the family of tasks that need the tool; not in the bundled model's training data.
        examples: conversations to learn from, half of them of the new family.
        direct: share of them that are answered without a tool.
        steps: optimiser steps of the adapter.
        learning_rate: its peak.
        rank: of the adapter.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: str = "move"
    examples: int = Field(800, ge=10)
    direct: float = Field(0.2, ge=0, le=1)
    steps: int = Field(200, ge=2)
    learning_rate: float = Field(5e-4, gt=0)
    rank: int = Field(16, ge=1)


class Lessons(Lesson):
    """The same lesson with several seeds, and how it is measured.

    Attributes:
        seeds: of data, adapter and order; each is a lesson of its own.
        tasks: held-out tasks of each measurement.
    """

    seeds: tuple[int, ...] = (1, 2, 3)
    tasks: int = Field(150, ge=2)


class SmallModel(BaseModel):
    """A model that a study makes from nothing, smaller than the bundled one.

    Attributes:
        examples: generated conversations to learn from.
        steps: optimiser steps.
        hidden, layers, heads, key_value_heads, inner: its shape.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    examples: int = Field(ge=10)
    steps: int = Field(ge=1)
    hidden: int = Field(192, ge=8)
    layers: int = Field(4, ge=1)
    heads: int = Field(6, ge=1)
    key_value_heads: int = Field(2, ge=1)
    inner: int = Field(480, ge=8)


def lesson_steps(
    lesson: Lesson,
    name: str,
    seed: int,
    *,
    direct: float | None = None,
    model: str = BUNDLED_ID,
) -> StepTables:
    """Return the steps of one lesson: `data-…`, `adapter-…` and `taught-…`, the taught model.

    `direct` is the share of direct answers if not the lesson's own, `model` the one that learns.
    """
    share = lesson.direct if direct is None else direct
    return {
        f"data-{name}": {
            "kind": "generate", "preset": "tiny", "seed": seed,
            "train": lesson.examples, "valid": 60, "test": 0, "direct": share,
            "weights": mixed_weights(lesson.family),
        },
        f"adapter-{name}": {
            "kind": "tune", "model": model, "dataset": f"@data-{name}", "seed": seed,
            "steps": lesson.steps, "learning_rate": lesson.learning_rate, "rank": lesson.rank,
            "warm_up": lesson.steps // 20, "scale": 2.0, "layers": 0, "batch": 8,
            "validation_steps": max(1, lesson.steps // 6),
        },
        f"taught-{name}": {"kind": "fuse", "model": model, "adapter": f"@adapter-{name}"},
    }  # fmt: skip


def mixed_weights(family: str) -> dict[str, float]:
    """Return weights by which half of the tasks that need a tool are of one family."""
    others = preset("tiny").tool_weights
    return {family: sum(weight for name, weight in others.items() if name != family)}


def score(model: str, tasks: int, **more: Any) -> dict[str, Any]:
    """Return a step that lets a model solve held-out tasks, mixed as the tiny preset has them.

    `more` are options of the evaluation, such as `families` or `direct`.
    """
    return {"kind": "evaluate", "model": model, "preset": "tiny", "count": tasks, **more}
