"""Does a small model learn a tool better from a larger one than from a few examples alone?

A student is made as the recipe makes the bundled model, smaller and in fewer steps; its teacher is
the bundled model after a lesson in a tool that neither had seen. The student is trained on, for the
same number of steps: on a few examples of the tool; on the examples and what the teacher verifiably
solved of tasks that came without answers; and on either with the teacher's logits, which are
softened by several temperatures.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from punie.evaluation.charts import Axis, Bar, bar_chart
from punie.evaluation.intervals import Paired, paired
from punie.evaluation.tasks import read_tasks
from punie.models.catalog import BUNDLED_ID
from punie.models.weights import read_weights
from punie.training.data.dataset import open_dataset
from punie.training.studies.lessons import Lesson, SmallModel, lesson_steps, mixed_weights, score
from punie.training.studies.pages import Shares, page, percent, pooled, shares, table
from punie.training.studies.study import Finished, StepTables, Study

_TEACHER = "@taught-teacher"
_RATES = {
    "right_tool_or_rightly_none": "right tool, or rightly none",
    "exact_arguments": "exact arguments",
    "all_tasks_solved": "solved",
}
_SOLVED = "all_tasks_solved"
_TASKS = {"new": "that need the new tool", "old": "as in the student's first data"}


class Student(SmallModel):
    """How the student is made before the teacher has a say.

    Its first examples are those of the recipe of the bundled model, and so are its tokens.

    Attributes:
        tokens: tokens of a step.
    """

    examples: int = Field(80_000, ge=10)
    steps: int = Field(2000, ge=1)
    tokens: int = Field(2048, ge=64)


class DistillationOptions(BaseModel):
    """What is trained and measured.

    Attributes:
        lesson: how the bundled model, the teacher, learns the tool.
        student: the smaller model.
        examples: conversations with answers for the student, half of them with the new tool.
        prompts: tasks without answers, mixed in the same way, which the teacher tries.
        steps: optimiser steps of each way, on all of the student's weights.
        batch: sequences of a step.
        learning_rate: its peak.
        weight: how much the teacher's logits count.
        temperatures: what distributions are softened by; each is a way of its own.
        seeds: of the order of the data; each way is trained with each.
        tasks: held-out tasks of each measurement, of which there is one with tasks of the new tool
            and one with those of the student's first data.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    lesson: Lesson = Lesson()
    student: Student = Student()
    examples: int = Field(40, ge=10)
    prompts: int = Field(1000, ge=1)
    steps: int = Field(200, ge=20)
    batch: int = Field(8, ge=1)
    learning_rate: float = Field(3e-4, gt=0)
    weight: float = Field(0.5, ge=0, le=1)
    temperatures: tuple[Annotated[float, Field(ge=0.1, le=20)], ...] = Field(
        (1.0, 2.0), min_length=1
    )
    seeds: tuple[int, ...] = Field((1, 2), min_length=1)
    tasks: int = Field(150, ge=1)


@dataclass(frozen=True)
class _Way:
    """One way to train the student on.

    Attributes:
        name: of its steps, before the seed.
        label: what it is called on the page.
        more: whether it learns from what the teacher solved too.
        temperature: by which the teacher's logits are softened; None without them.
    """

    name: str
    label: str
    more: bool
    temperature: float | None = None


_ALONE = _Way("data", "examples alone", more=False)
_SOLVED_TOO = _Way("trajectories", "examples and what the teacher solved", more=True)


def _ways(options: DistillationOptions) -> list[_Way]:
    found = [_ALONE, _SOLVED_TOO]
    for temperature in options.temperatures:
        softened = f"T = {temperature:g}"
        name = f"t{temperature:g}".replace(".", "_")
        found += [
            _Way(f"logits-{name}", f"examples and logits, {softened}", False, temperature),
            _Way(f"both-{name}", f"both and logits, {softened}", True, temperature),
        ]
    return sorted(found, key=lambda way: way.more)


def _bases(way: _Way) -> list[_Way]:
    """Return the ways that one is compared with: those that lack one thing or two."""
    return [base for base in (_ALONE, _SOLVED_TOO) if base != way and base.more <= way.more]


_SMALL = {
    "lesson": {"examples": 40, "steps": 4},
    "student": {"examples": 60, "steps": 12, "layers": 1, "hidden": 32, "heads": 4, "inner": 64},
    "examples": 20,
    "prompts": 12,
    "steps": 20,
    "batch": 2,
    "temperatures": (2.0,),
    "seeds": (1,),
    "tasks": 4,
}


def _steps(options: DistillationOptions) -> StepTables:
    held_back = max(10, min(400, options.student.examples // 10))
    weights = mixed_weights(options.lesson.family)
    tables: StepTables = {
        "data": {
            "kind": "generate",
            "preset": "tiny",
            "train": options.student.examples,
            "valid": held_back,
            "test": held_back,
        },
        "student": {
            "kind": "pretrain",
            "dataset": "@data",
            "tokenizer": BUNDLED_ID,
            "validation_steps": 250,
            **options.student.model_dump(exclude={"examples"}),
        },
        **lesson_steps(options.lesson, "teacher", 1),
        "examples": {
            "kind": "generate",
            "preset": "tiny",
            "seed": 2,
            "train": options.examples,
            "valid": max(10, min(100, options.examples // 2)),
            "test": 0,
            "weights": weights,
        },
        "solved": {
            "kind": "from-teacher",
            "preset": "tiny",
            "seed": 3,
            "teacher": _TEACHER,
            "tasks": options.prompts,
            "weights": weights,
            "parallel": 8,
        },
        "more": {"kind": "merge", "datasets": ["@examples", "@solved"], "unsplit": "train"},
        **_measured(options, "teacher", _TEACHER),
        **_measured(options, "student", "@student"),
    }
    for way in _ways(options):
        for seed in options.seeds:
            name = f"{way.name}-{seed}"
            tables[name] = _trained(options, way, seed)
            tables |= _measured(options, name, f"@{name}")
    return tables


def _measured(options: DistillationOptions, name: str, model: str) -> StepTables:
    return {
        f"{name}-new": score(model, options.tasks, families=[options.lesson.family]),
        f"{name}-old": score(model, options.tasks),
    }


def _trained(options: DistillationOptions, way: _Way, seed: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "method": "full",
        "embeddings": True,
        "layers": 0,
        "dataset": "@more" if way.more else "@examples",
        "steps": options.steps,
        "batch": options.batch,
        "learning_rate": options.learning_rate,
        "validation_steps": options.steps,
        "seed": seed,
    }
    if way.temperature is not None:
        teaching = {"weight": options.weight, "temperature": way.temperature}
        taught = {"teacher": _TEACHER, "student": "@student", "teaching": teaching}
        return {"kind": "distill", **taught, **found}
    return {"kind": "tune", "model": "@student", **found}


def _collect(options: DistillationOptions, finished: Mapping[str, Finished]) -> dict[str, Any]:
    ways = _ways(options)
    scores: dict[str, list[dict[str, Any]]] = {
        way.name: [
            {
                **_shares(finished, f"{way.name}-{seed}"),
                **_validation(finished[f"{way.name}-{seed}"]),
            }
            for seed in options.seeds
        ]
        for way in ways
    }
    solved = {
        way.name: [
            result.solved.strict
            for seed in options.seeds
            for result in read_tasks(finished[f"{way.name}-{seed}-new"].folder)
        ]
        for way in ways
    }
    return {
        "teacher": _shares(finished, "teacher"),
        "before": _shares(finished, "student"),
        "ways": scores,
        "changes": {
            way.name: {
                base.name: vars(paired(solved[base.name], solved[way.name])) for base in _bases(way)
            }
            for way in ways
        },
        "trajectories": _examples(finished["solved"]),
        "parameters": {
            name: read_weights(finished[step].folder).parameters(None)
            for name, step in (("student", "student"), ("teacher", "taught-teacher"))
        },
        "summary": {
            way.label: percent(pooled([each["new"][_SOLVED] for each in scores[way.name]]))
            for way in ways
        },
    }


def _shares(finished: Mapping[str, Finished], name: str) -> dict[str, dict[str, Shares]]:
    measured = {which: shares(finished[f"{name}-{which}"]) for which in _TASKS}
    return {which: {key: found[key] for key in _RATES} for which, found in measured.items()}


def _validation(trained: Finished) -> dict[str, float]:
    lines = (trained.folder / "curve.jsonl").read_text(encoding="utf-8").splitlines()
    (*_, last) = (row for row in map(json.loads, lines) if "valid_loss" in row)
    return {name: last[name] for name in ("valid_loss", "valid_exact")}


def _examples(finished: Finished) -> int:
    return sum(part.examples for part in open_dataset(finished.folder).manifest.parts.values())


def _page(found: Mapping[str, Any]) -> str:
    ways = _ways(DistillationOptions.model_validate(found["options"]))
    head = ["trained on", *_RATES.values(), "solved, each seed", "old tasks solved", "loss"]
    rows: list[Sequence[object]] = [_alone("(the student before)", found["before"])]
    for way in ways:
        scores = found["ways"][way.name]
        new = [score["new"] for score in scores]
        rows.append(
            [
                way.label,
                *(percent(pooled([each[key] for each in new])) for key in _RATES),
                ", ".join(f"{rate.value:.1%}" for rate in (pooled([e[_SOLVED]]) for e in new)),
                percent(pooled([score["old"][_SOLVED] for score in scores])),
                f"{sum(score['valid_loss'] for score in scores) / len(scores):.3f}",
            ]
        )
    rows.append(_alone("(the teacher itself)", found["teacher"]))
    changes = [
        _change(way.label, base.label, Paired(**found["changes"][way.name][base.name]))
        for way in ways
        for base in _bases(way)
    ]
    tool = found["options"]["lesson"]["family"]
    parameters = found["parameters"]
    return page(
        "What a small model learns from a larger one",
        found,
        f"Neither the student ({parameters['student']:,} parameters) nor the bundled model was "
        f"trained with the tool `{tool}`. The bundled model ({parameters['teacher']:,} "
        "parameters) had a lesson in it and is the teacher. The student is trained on from the "
        "same weights, for the same number of steps in each row, and works on held-out tasks that "
        "need the tool, in the real agent; the old tasks are such as it could do before. `Both` "
        "are the examples and what the teacher solved; T is the temperature by which its logits "
        "are softened.",
        table(head, rows),
        "The same tasks, one way rather than the other:",
        table(
            ["trained on", "rather than", "solved more", "gained", "lost", "p (McNemar)"], changes
        ),
        f"The examples are {found['options']['examples']:,}. Of "
        f"{found['options']['prompts']:,} tasks that came without answers the teacher solved "
        f"{found['trajectories']:,}. The loss is that of the validation after the last step.",
        "![Tasks solved](distillation.svg)",
    )


def _change(label: str, base: str, change: Paired) -> list[object]:
    reach = f"{change.difference:+.1%} ({change.low:+.1%} to {change.high:+.1%})"
    return [label, base, reach, change.gained, change.lost, f"{change.p:.2g}"]


def _alone(label: str, found: Mapping[str, Mapping[str, Shares]]) -> list[object]:
    rated = [percent(pooled([found["new"][key]])) for key in _RATES]
    return [label, *rated, "", percent(pooled([found["old"][_SOLVED]])), ""]


def _charts(found: Mapping[str, Any]) -> dict[str, str]:
    scores = {"before": [found["before"]], **found["ways"], "(teacher)": [found["teacher"]]}
    series = []
    for which, label in _TASKS.items():
        solved = [pooled([each[which][_SOLVED] for each in of]) for of in scores.values()]
        series.append((label, [Bar(share.value, share.low, share.high) for share in solved]))
    drawn = bar_chart("Tasks solved", Axis("share", percent=True), list(scores), series)
    return {"distillation.svg": drawn}


DISTILLATION = Study(
    name="distillation",
    question="Does a small model learn a tool better from a larger one than from examples alone?",
    options=DistillationOptions,
    small=_SMALL,
    steps=_steps,
    collect=_collect,
    page=_page,
    charts=_charts,
)
