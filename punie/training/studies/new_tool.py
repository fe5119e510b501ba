"""Whether an adapter teaches a tool that the model has never seen, and what is forgotten for it."""

from collections.abc import Mapping
from typing import Any

from punie.evaluation.charts import Axis, Bar, bar_chart
from punie.models.catalog import BUNDLED_ID
from punie.training.studies.lessons import Lessons, lesson_steps, score
from punie.training.studies.pages import Shares, page, percent, pooled, shares, table
from punie.training.studies.study import Finished, StepTables, Study

_MEASURES = {
    "right_tool_or_rightly_none": "right tool",
    "exact_arguments": "exact arguments",
    "all_tasks_solved": "solved",
}


def _steps(options: Lessons) -> StepTables:
    new = {"families": [options.family]}
    steps: StepTables = {
        "before-new": score(BUNDLED_ID, options.tasks, **new),
        "before-old": score(BUNDLED_ID, options.tasks),
    }
    for seed in options.seeds:
        steps |= lesson_steps(options, f"{seed}", seed)
        steps[f"after-new-{seed}"] = score(f"@taught-{seed}", options.tasks, **new)
        steps[f"after-old-{seed}"] = score(f"@taught-{seed}", options.tasks)
    return steps


def _collect(options: Lessons, finished: Mapping[str, Finished]) -> dict[str, Any]:
    def measured(moment: str, which: str) -> dict[str, list[Shares]]:
        names = [f"after-{which}-{seed}" for seed in options.seeds]
        names = names if moment == "after" else [f"before-{which}"]
        scored = [shares(finished[name]) for name in names]
        return {measure: [one[measure] for one in scored] for measure in _MEASURES}

    found = {
        which: {moment: measured(moment, which) for moment in ("before", "after")}
        for which in ("new", "old")
    }
    solved = "all_tasks_solved"
    summary = {
        f"{which} tasks, {moment}": percent(pooled(moments[moment][solved]))
        for which, moments in found.items()
        for moment in moments
    }
    return {**found, "summary": summary}


def _page(found: Mapping[str, Any]) -> str:
    tool = found["options"]["family"]
    rows = [
        (
            f"{label}, {what}",
            percent(pooled(found[which]["before"][measure])),
            percent(pooled(found[which]["after"][measure])),
            ", ".join(f"{one['hits'] / one['of']:.1%}" for one in found[which]["after"][measure]),
        )
        for which, what in (
            ("new", f"tasks that need `{tool}`"),
            ("old", "the bundled model's own"),
        )
        for measure, label in _MEASURES.items()
    ]
    return page(
        "LoRA teaches a tool the base has never seen",
        found,
        f"The bundled model was trained without the tool `{tool}`. An adapter learns it from "
        "generated conversations whose calls were really executed, half of them with the new tool; "
        "it is fused, and the model works on held-out tasks in the real agent.",
        table(("held-out tasks", "before", "after, all seeds", "each seed"), rows),
        "![Tasks solved before and after](new-tool.svg)",
    )


def _charts(found: Mapping[str, Any]) -> dict[str, str]:
    def bar(parts: list[Shares]) -> Bar:
        rate = pooled(parts)
        return Bar(rate.value, rate.low, rate.high)

    measure = "all_tasks_solved"
    series = [
        ("before", [bar(found[which]["before"][measure]) for which in ("new", "old")]),
        ("after", [bar(found[which]["after"][measure]) for which in ("new", "old")]),
    ]
    labels = (f"need {found['options']['family']}", "the bundled model's own")
    title = "Held-out tasks solved, before and after the lesson"
    return {"new-tool.svg": bar_chart(title, Axis("solved", percent=True), labels, series)}


NEW_TOOL = Study(
    name="new-tool",
    question="Does LoRA teach a tool that the base has never seen, and what does it forget?",
    options=Lessons,
    small={"seeds": (1,), "examples": 40, "steps": 4, "tasks": 4},
    steps=_steps,
    collect=_collect,
    page=_page,
    charts=_charts,
)
