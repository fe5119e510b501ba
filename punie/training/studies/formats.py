"""Which loss one renderer prevents: training in one format of tool calls and serving in another."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from punie.evaluation.charts import Axis, Bar, bar_chart
from punie.training.studies.lessons import SMALL, FromNothing, from_nothing, score
from punie.training.studies.pages import Shares, page, percent, pooled, shares, table
from punie.training.studies.study import Finished, StepTables, Study

_FORMATS = {"xml": "XML", "json": "JSON"}
_HELD = {"free": "without the grammar", "held": "with the grammar"}
_MEASURES = {"exact_arguments": "first call exact", "all_tasks_solved": "solved"}


class FormatOptions(BaseModel):
    """How models are made in both formats, and measured in both.

    Attributes:
        made: the models, the same but for the format and the seed.
        seeds: of weights and order.
        tasks: held-out tasks of each measurement.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    made: FromNothing = FromNothing()
    seeds: tuple[int, ...] = Field((1, 2), min_length=1)
    tasks: int = Field(150, ge=2)


def _steps(options: FormatOptions) -> StepTables:
    steps: StepTables = {}
    for seed in options.seeds:
        for trained in _FORMATS:
            model = f"{trained}-{seed}"
            made = from_nothing(options.made, seed, trained)
            steps |= {"data": made["data"], model: made["model"]}
            for served in _FORMATS:
                name = f"{model}-as-{served}"
                steps[name] = {"kind": "rewrite-template", "model": f"@{model}", "calls": served}
                for held in _HELD:
                    steps[f"{held}-{name}"] = score(
                        f"@{name}", options.tasks, guided=held == "held", direct=False
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
        "Models of the bundled one's size are made from nothing on the same conversations, "
        "rendered with tool calls as XML or as JSON, and then served with a template and parser of "
        "the one or the other: what happens when training and serving do not share a renderer. "
        "Only tasks that need a tool.",
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
    small={"seeds": (1,), "tasks": 3, "made": SMALL},
    steps=_steps,
    collect=_collect,
    page=_page,
    charts=_charts,
)
