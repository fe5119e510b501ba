"""Which loss one renderer prevents: training in one format of tool calls and serving in another."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from punie.evaluation.charts import Axis, Bar, bar_chart
from punie.models.catalog import BUNDLED_ID
from punie.training.studies.lessons import Lessons, lesson_steps, score
from punie.training.studies.pages import Shares, page, percent, pooled, shares, table
from punie.training.studies.study import Finished, StepTables, Study

_FORMATS = {"xml": "XML", "json": "JSON"}
_HELD = {"free": "without the grammar", "held": "with the grammar"}
_MEASURES = {"exact_arguments": "first call exact", "all_tasks_solved": "solved"}


class FormatOptions(Lessons):
    """A lesson as in the study of a new tool, with its calls rendered in each format."""

    seeds: tuple[int, ...] = (1, 2)
    steps: int = Field(400, ge=2)


def _steps(options: FormatOptions) -> StepTables:
    steps: StepTables = {
        f"base-{calls}": {"kind": "rewrite-template", "model": BUNDLED_ID, "calls": calls}
        for calls in _FORMATS
    }
    for seed in options.seeds:
        for trained in _FORMATS:
            model = f"{trained}-{seed}"
            steps |= lesson_steps(options, model, seed, model=f"@base-{trained}")
            for served in _FORMATS:
                name = f"{model}-as-{served}"
                steps[name] = {
                    "kind": "rewrite-template", "model": f"@taught-{model}", "calls": served,
                }  # fmt: skip
                for held in _HELD:
                    steps[f"{held}-{name}"] = score(
                        f"@{name}",
                        options.tasks,
                        guided=held == "held",
                        families=[options.family],
                    )
    return steps


def _collect(options: FormatOptions, finished: Mapping[str, Finished]) -> dict[str, Any]:
    def measured(trained: str, served: str, held: str) -> dict[str, list[Shares]]:
        scored = [
            shares(finished[f"{held}-{trained}-{seed}-as-{served}"]) for seed in options.seeds
        ]
        return {measure: [one[measure] for one in scored] for measure in _MEASURES}

    cells: list[dict[str, Any]] = [
        {
            "trained": trained,
            "served": served,
            **{held: measured(trained, served, held) for held in _HELD},
        }
        for trained in _FORMATS
        for served in _FORMATS
    ]
    summary = {
        f"trained {cell['trained']}, served {cell['served']}": {
            name: percent(pooled(cell[held]["all_tasks_solved"])) for held, name in _HELD.items()
        }
        for cell in cells
    }
    return {"cells": cells, "summary": summary}


def _page(found: Mapping[str, Any]) -> str:
    measured = [f"{what}, {held}" for held in _HELD.values() for what in _MEASURES.values()]
    rows = [
        (
            _FORMATS[cell["trained"]],
            _FORMATS[cell["served"]],
            *(percent(pooled(cell[held][measure])) for held in _HELD for measure in _MEASURES),
        )
        for cell in found["cells"]
    ]
    return page(
        "The loss that one renderer prevents",
        found,
        "The bundled model writes tool calls as XML. It learns a new tool from conversations "
        "whose calls are rendered as XML, or as JSON, and is then served with the template and "
        "the parser of the one or the other: what happens when training and serving do not share "
        f"a renderer. Only tasks that need the new tool, `{found['options']['family']}`.",
        "The grammar forces each call into the format that is served. Without it the parser also "
        "understands calls of the other format, but the model then reads its own calls in a form "
        "that it has never seen.",
        table(("trained in", "served in", *measured), rows),
        "![Tasks solved by format in training and in serving](formats.svg)",
    )


def _charts(found: Mapping[str, Any]) -> dict[str, str]:
    def bar(cell: Mapping[str, Any], held: str) -> Bar:
        rate = pooled(cell[held]["all_tasks_solved"])
        return Bar(rate.value, rate.low, rate.high)

    labels = [
        f"{_FORMATS[cell['trained']]} served as {_FORMATS[cell['served']]}"
        for cell in found["cells"]
    ]
    series = [(name, [bar(cell, held) for cell in found["cells"]]) for held, name in _HELD.items()]
    title = "Tasks solved, by format in training and in serving"
    return {"formats.svg": bar_chart(title, Axis("solved", percent=True), labels, series)}


FORMATS = Study(
    name="formats",
    question="What is lost when training and serving write tool calls in different formats?",
    options=FormatOptions,
    small={"seeds": (1,), "examples": 40, "steps": 4, "tasks": 4},
    steps=_steps,
    collect=_collect,
    page=_page,
    charts=_charts,
)
