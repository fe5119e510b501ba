"""How many direct answers training needs, so that a model does not call a tool for everything."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from punie.evaluation.charts import Axis, line_chart
from punie.training.studies.lessons import (
    Lessons,
    SmallModel,
    lesson_steps,
    score,
)
from punie.training.studies.pages import Shares, page, percent, pooled, rate_line, shares, table
from punie.training.studies.study import Finished, StepTables, Study

_DECIDED = "right_tool_or_rightly_none"
_SIDES = {"direct": "questions that need no tool", "tool": "tasks that need one"}


class Base(SmallModel):
    """How the model is made that calls a tool for everything; each of its examples needs one."""

    examples: int = Field(8000, ge=10)
    steps: int = Field(800, ge=1)
    layers: int = Field(3, ge=1)


class DiscriminationOptions(Lessons):
    """A lesson as in the study of a new tool, for a model that calls a tool for everything.

    Attributes:
        base: that model.
        shares: of direct answers in the lesson's data.
    """

    base: Base = Base()
    shares: tuple[float, ...] = Field((0.0, 0.03, 0.1, 0.3, 0.5), min_length=1)


def _steps(options: DiscriminationOptions) -> StepTables:
    shape = options.base.model_dump(exclude={"examples"})
    steps: StepTables = {
        "base-data": {
            "kind": "generate", "preset": "tiny", "seed": 1, "direct": 0.0,
            "train": options.base.examples, "valid": 60, "test": 0,
        },
        "base": {"kind": "pretrain", "dataset": "@base-data", **shape},
    }  # fmt: skip
    for side in _SIDES:
        steps[f"before-{side}"] = score("@base", options.tasks, direct=side == "direct")
    for seed in options.seeds:
        for share in options.shares:
            steps |= lesson_steps(options, f"{share:g}-{seed}", seed, direct=share, model="@base")
            for side in _SIDES:
                steps[f"{side}-{share:g}-{seed}"] = score(
                    f"@taught-{share:g}-{seed}", options.tasks, direct=side == "direct"
                )
    return steps


def _collect(options: DiscriminationOptions, finished: Mapping[str, Finished]) -> dict[str, Any]:
    def decided(name: str) -> Shares:
        return shares(finished[name])[_DECIDED]

    curve: list[dict[str, Any]] = [
        {
            "share": share,
            **{
                side: [decided(f"{side}-{share:g}-{seed}") for seed in options.seeds]
                for side in _SIDES
            },
        }
        for share in options.shares
    ]
    before = {side: [decided(f"before-{side}")] for side in _SIDES}
    summary = {
        f"{row['share']:.0%} direct": {side: percent(pooled(row[side])) for side in _SIDES}
        for row in curve
    }
    return {"before": before, "curve": curve, "summary": summary}


def _page(found: Mapping[str, Any]) -> str:
    before = found["before"]
    rows = [("before the lesson", *(percent(pooled(before[side])) for side in _SIDES))]
    rows += [
        (f"{row['share']:.0%}", *(percent(pooled(row[side])) for side in _SIDES))
        for row in found["curve"]
    ]
    return page(
        "How many direct answers training needs",
        found,
        "A small model is made from conversations that need a tool, each of them. Then an adapter "
        "learns a new tool from data with more and fewer conversations that are answered without "
        "any. Right is the tool that is due, or none where none is due.",
        table(("direct answers in the data", *_SIDES.values()), rows),
        "![Right decisions by the share of direct answers](discrimination.svg)",
    )


def _charts(found: Mapping[str, Any]) -> dict[str, str]:
    x = [row["share"] for row in found["curve"]]
    lines = [
        rate_line(name, x, [row[side] for row in found["curve"]]) for side, name in _SIDES.items()
    ]
    axes = Axis("direct answers in the training data", True), Axis("decided rightly", True)
    title = "Calling a tool or answering, after the lesson"
    return {"discrimination.svg": line_chart(title, *axes, lines)}


DISCRIMINATION = Study(
    name="discrimination",
    question="How many direct answers does training need, so that tools are not called for all?",
    options=DiscriminationOptions,
    small={
        "seeds": (1,),
        "examples": 40,
        "steps": 4,
        "tasks": 4,
        "shares": (0.0, 0.5),
        "base": {"examples": 100, "steps": 3, "hidden": 32, "layers": 1},
    },
    steps=_steps,
    collect=_collect,
    page=_page,
    charts=_charts,
)
