"""Does a small model learn more from a larger one than from the data alone?

A student is made as the recipe makes the bundled model, smaller and in fewer steps. From there it
is trained on, with the same steps, in four ways: on some new examples; on those with the
teacher's logits; on the examples and what the teacher verifiably solved of tasks that came without
answers; and on both with the logits.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from punie.evaluation.charts import Axis, Bar, bar_chart
from punie.evaluation.intervals import Paired, paired
from punie.evaluation.tasks import read_tasks
from punie.models.catalog import BUNDLED_ID
from punie.training.data.dataset import open_dataset
from punie.training.studies.lessons import SmallModel, score
from punie.training.studies.pages import Shares, over_seeds, page, percent, pooled, shares, table
from punie.training.studies.study import Finished, StepTables, Study

_WAYS = {
    "data": "examples alone",
    "logits": "examples and the teacher's logits",
    "trajectories": "examples and what the teacher solved",
    "both": "both, with the teacher's logits",
}
_RATES = {
    "right_tool_or_rightly_none": "right tool, or rightly none",
    "exact_arguments": "exact arguments",
    "all_tasks_solved": "solved",
}
_SOLVED = "all_tasks_solved"


class Student(SmallModel):
    """How the student is made before the teacher has a say.

    Its first examples are those of the recipe of the bundled model.

    Attributes:
        tokens: tokens of a step.
    """

    examples: int = Field(80_000, ge=10)
    steps: int = Field(1000, ge=1)
    tokens: int = Field(2048, ge=64)


class DistillationOptions(BaseModel):
    """What is trained and measured.

    Attributes:
        teacher: the larger model.
        student: the smaller one.
        examples: new examples, with answers.
        prompts: new tasks without answers, which the teacher tries.
        steps: optimiser steps of each way, on all of the student's weights.
        batch: sequences of a step.
        learning_rate: its peak.
        weight: how much the teacher's logits count.
        temperature: what distributions are softened by.
        seeds: of the order of the data; each way is trained with each.
        tasks: held-out tasks that each student solves.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    teacher: str = BUNDLED_ID
    student: Student = Student()
    examples: int = Field(200, ge=10)
    prompts: int = Field(1000, ge=1)
    steps: int = Field(200, ge=20)
    batch: int = Field(16, ge=1)
    learning_rate: float = Field(3e-4, gt=0)
    weight: float = Field(0.5, ge=0, le=1)
    temperature: float = Field(2.0, ge=0.1, le=20)
    seeds: tuple[int, ...] = Field((1, 2), min_length=1)
    tasks: int = Field(200, ge=1)


_SMALL = {
    "student": {"examples": 60, "steps": 12, "layers": 1, "hidden": 32, "heads": 4, "inner": 64},
    "examples": 20,
    "prompts": 12,
    "steps": 20,
    "batch": 2,
    "seeds": (1,),
    "tasks": 4,
}


def _steps(options: DistillationOptions) -> StepTables:
    held_back = max(10, min(400, options.student.examples // 10))
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
            "validation_steps": 250,
            **options.student.model_dump(exclude={"examples"}),
        },
        "examples": {
            "kind": "generate",
            "preset": "tiny",
            "seed": 2,
            "train": options.examples,
            "valid": max(10, min(100, options.examples // 2)),
            "test": 0,
        },
        "solved": {
            "kind": "from-teacher",
            "preset": "tiny",
            "seed": 3,
            "teacher": options.teacher,
            "tasks": options.prompts,
            "parallel": 8,
        },
        "more": {"kind": "merge", "datasets": ["@examples", "@solved"], "unsplit": "train"},
        "teacher-tasks": score(options.teacher, options.tasks),
        "student-tasks": score("@student", options.tasks),
    }
    for way in _WAYS:
        for seed in options.seeds:
            name = f"{way}-{seed}"
            tables[name] = _way(options, way, seed)
            tables[f"{name}-tasks"] = score(f"@{name}", options.tasks)
    return tables


def _way(options: DistillationOptions, way: str, seed: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "method": "full",
        "embeddings": True,
        "layers": 0,
        "dataset": "@examples" if way in ("data", "logits") else "@more",
        "steps": options.steps,
        "batch": options.batch,
        "learning_rate": options.learning_rate,
        "validation_steps": options.steps,
        "seed": seed,
    }
    if way in ("logits", "both"):
        teaching = {"weight": options.weight, "temperature": options.temperature}
        taught = {"teacher": options.teacher, "student": "@student", "teaching": teaching}
        return {"kind": "distill", **taught, **found}
    return {"kind": "tune", "model": "@student", **found}


def _collect(options: DistillationOptions, finished: Mapping[str, Finished]) -> dict[str, Any]:
    ways = {way: [_scores(finished, f"{way}-{seed}") for seed in options.seeds] for way in _WAYS}
    solved = {
        way: [
            result.solved.strict
            for seed in options.seeds
            for result in read_tasks(finished[f"{way}-{seed}-tasks"].folder)
        ]
        for way in _WAYS
    }
    changes = {way: vars(paired(solved["data"], solved[way])) for way in _WAYS if way != "data"}
    pooled_rates = {way: pooled([each[_SOLVED] for each in ways[way]]) for way in _WAYS}
    return {
        "teacher": _shares(finished["teacher-tasks"]),
        "before": _shares(finished["student-tasks"]),
        "ways": ways,
        "changes": changes,
        "trajectories": _examples(finished["solved"]),
        "summary": {_WAYS[way]: str(found) for way, found in pooled_rates.items()},
    }


def _scores(finished: Mapping[str, Finished], name: str) -> dict[str, Any]:
    lines = (finished[name].folder / "curve.jsonl").read_text(encoding="utf-8").splitlines()
    (*_, last) = (row for row in map(json.loads, lines) if "valid_loss" in row)
    return {
        **_shares(finished[f"{name}-tasks"]),
        "valid_loss": last["valid_loss"],
        "valid_exact": last["valid_exact"],
    }


def _shares(scored: Finished) -> dict[str, Shares]:
    found = shares(scored)
    return {key: found[key] for key in _RATES}


def _examples(finished: Finished) -> int:
    return sum(part.examples for part in open_dataset(finished.folder).manifest.parts.values())


def _page(found: Mapping[str, Any]) -> str:
    head = ["trained on", *_RATES.values(), "solved, over seeds", "loss", "exact turns"]
    alone = [
        [name, *(percent(pooled([found[key][rated]])) for rated in _RATES), "", "", ""]
        for name, key in (("(the student before)", "before"), ("(the teacher itself)", "teacher"))
    ]
    rows: list[Sequence[object]] = [alone[0]]
    for way, label in _WAYS.items():
        scores = found["ways"][way]
        rated = [percent(pooled([score[key] for score in scores])) for key in _RATES]
        loss, turns = (
            sum(score[key] for score in scores) / len(scores)
            for key in ("valid_loss", "valid_exact")
        )
        seeds = percent(over_seeds([score[_SOLVED] for score in scores]))
        rows.append([label, *rated, seeds, f"{loss:.3f}", f"{turns:.1%}"])
    rows.append(alone[1])
    changes = []
    for way, label in _WAYS.items():
        if way in found["changes"]:
            change = Paired(**found["changes"][way])
            changes.append(
                [
                    label,
                    f"{change.difference:+.1%} ({change.low:+.1%} to {change.high:+.1%})",
                    change.gained,
                    change.lost,
                    f"{change.p:.2g}",
                ]
            )
    return page(
        "What a small model learns from a larger one",
        found,
        "One student, trained on from the same weights for the same number of steps, on held-out "
        "tasks in the real agent and on held-out conversations.",
        table(head, rows),
        "Task by task, against the examples alone:",
        table(["trained on", "solved more", "gained", "lost", "p (McNemar)"], changes),
        f"The teacher solved {found['trajectories']:,} of the {found['options']['prompts']:,} "
        "tasks that came without answers. Losses and exact turns are those of the validation after "
        "the last step.",
        "![Tasks solved](distillation.svg)",
    )


def _charts(found: Mapping[str, Any]) -> dict[str, str]:
    scores = {"before": [found["before"]], **found["ways"], "(teacher)": [found["teacher"]]}
    solved = [pooled([each[_SOLVED] for each in of]) for of in scores.values()]
    bars = [Bar(share.value, share.low, share.high) for share in solved]
    axis = Axis("share", percent=True)
    drawn = bar_chart("Tasks solved", axis, list(scores), [("student", bars)])
    return {"distillation.svg": drawn}


DISTILLATION = Study(
    name="distillation",
    question="Does a small model learn more from a larger one than from the data alone?",
    options=DistillationOptions,
    small=_SMALL,
    steps=_steps,
    collect=_collect,
    page=_page,
    charts=_charts,
)
