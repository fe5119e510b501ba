"""Does a small model learn more from a larger one than from the data alone?

A student of one shape is trained from nothing, with the same steps in the same order, in four ways:
on some examples; on the same examples with the teacher's logits; on the examples and what the
teacher verifiably solved of tasks that came without answers; and on both with the logits.
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
from punie.training.studies.lessons import score
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


class DistillationOptions(BaseModel):
    """What is trained and measured.

    Attributes:
        teacher: a model to take as teacher; if empty, one of 5.9 million parameters is trained.
        teacher_examples: generated examples that it is trained on then.
        teacher_steps: its optimiser steps.
        examples: generated examples that the student gets.
        prompts: tasks without answers that the teacher tries.
        steps: the student's optimiser steps.
        hidden, layers, heads, key_value_heads, inner: the student's shape.
        weight: how much the teacher's logits count.
        temperature: what distributions are softened by.
        seeds: of the student; each way is trained with each.
        tasks: held-out tasks that each student solves.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    teacher: str = BUNDLED_ID
    teacher_examples: int = Field(40_000, ge=20)
    teacher_steps: int = Field(3000, ge=1)
    examples: int = Field(2000, ge=10)
    prompts: int = Field(6000, ge=1)
    steps: int = Field(2000, ge=1)
    hidden: int = Field(192, ge=8)
    layers: int = Field(4, ge=1)
    heads: int = Field(6, ge=1)
    key_value_heads: int = Field(2, ge=1)
    inner: int = Field(480, ge=8)
    weight: float = Field(0.5, ge=0, le=1)
    temperature: float = Field(2.0, ge=0.1, le=20)
    seeds: tuple[int, ...] = Field((1, 2), min_length=1)
    tasks: int = Field(200, ge=1)


_SMALL = {
    "examples": 60,
    "prompts": 12,
    "steps": 12,
    "layers": 1,
    "hidden": 32,
    "heads": 4,
    "inner": 64,
    "seeds": (1,),
    "tasks": 4,
}


def _steps(options: DistillationOptions) -> StepTables:
    teacher = options.teacher or "@teacher"
    generated = options.examples if options.teacher else options.teacher_examples
    tables: StepTables = {
        "data": {
            "kind": "generate",
            "preset": "tiny",
            "train": generated,
            "valid": max(10, min(400, generated // 10)),
            "test": 0,
        },
        "examples": {"kind": "merge", "datasets": ["@data"], "limits": [options.examples]},
        "solved": {
            "kind": "from-teacher",
            "preset": "tiny",
            "teacher": teacher,
            "tasks": options.prompts,
        },
        "more": {"kind": "merge", "datasets": ["@examples", "@solved"], "unsplit": "train"},
    }
    if not options.teacher:
        tables["teacher"] = {
            "kind": "pretrain",
            "dataset": "@data",
            "hidden": 320,
            "layers": 5,
            "heads": 10,
            "inner": 896,
            "steps": options.teacher_steps,
        }
    for way in _WAYS:
        for seed in options.seeds:
            name = f"{way}-{seed}"
            tables[name] = _student(options, way, seed, teacher)
            tables[f"{name}-tasks"] = score(f"@{name}", options.tasks)
    tables["teacher-tasks"] = score(teacher, options.tasks)
    return tables


def _student(options: DistillationOptions, way: str, seed: int, teacher: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "kind": "pretrain",
        "dataset": "@examples" if way in ("data", "logits") else "@more",
        "tokenizer": teacher,
        "hidden": options.hidden,
        "layers": options.layers,
        "heads": options.heads,
        "key_value_heads": options.key_value_heads,
        "inner": options.inner,
        "steps": options.steps,
        "tokens": 2048,
        "seed": seed,
    }
    if way in ("logits", "both"):
        found["teacher"] = teacher
        found["teaching"] = {"weight": options.weight, "temperature": options.temperature}
    return found


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
    teacher = _shares(finished["teacher-tasks"])
    pooled_rates = {way: pooled([each[_SOLVED] for each in ways[way]]) for way in _WAYS}
    return {
        "teacher": teacher,
        "ways": ways,
        "changes": changes,
        "trajectories": _examples(finished["solved"]),
        "summary": {_WAYS[way]: str(found) for way, found in pooled_rates.items()},
    }


def _scores(finished: Mapping[str, Finished], name: str) -> dict[str, Any]:
    lines = (finished[name].folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    measured = [row for row in map(json.loads, lines) if "turns" in row]
    last = measured[-1]
    return {
        **_shares(finished[f"{name}-tasks"]),
        "valid_loss": last["loss"],
        "valid_turns": last["turns"],
    }


def _shares(scored: Finished) -> dict[str, Shares]:
    found = shares(scored)
    return {key: found[key] for key in _RATES}


def _examples(finished: Finished) -> int:
    return sum(part.examples for part in open_dataset(finished.folder).manifest.parts.values())


def _page(found: Mapping[str, Any]) -> str:
    head = ["trained on", *_RATES.values(), "solved, over seeds", "loss", "exact turns"]
    rows: list[Sequence[object]] = []
    for way, label in _WAYS.items():
        scores = found["ways"][way]
        rated = [percent(pooled([score[key] for score in scores])) for key in _RATES]
        loss, turns = (
            sum(score[key] for score in scores) / len(scores)
            for key in ("valid_loss", "valid_turns")
        )
        seeds = percent(over_seeds([score[_SOLVED] for score in scores]))
        rows.append([label, *rated, seeds, f"{loss:.3f}", f"{turns:.1%}"])
    teacher = [percent(pooled([found["teacher"][key]])) for key in _RATES]
    rows.append(["(the teacher itself)", *teacher, "", "", ""])
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
        "The same student, the same number of steps and the same order, on held-out tasks in the "
        "real agent and on held-out conversations.",
        table(head, rows),
        "Task by task, against the examples alone:",
        table(["trained on", "solved more", "gained", "lost", "p (McNemar)"], changes),
        f"The teacher solved {found['trajectories']:,} of the {found['options']['prompts']:,} "
        "tasks that came without answers. Losses and exact turns are those of the validation after "
        "the last step.",
        "![Tasks solved](distillation.svg)",
    )


def _charts(found: Mapping[str, Any]) -> dict[str, str]:
    solved = [pooled([score[_SOLVED] for score in found["ways"][way]]) for way in _WAYS]
    bars = [Bar(share.value, share.low, share.high) for share in solved]
    drawn = bar_chart("Tasks solved", Axis("share", percent=True), list(_WAYS), [("student", bars)])
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
