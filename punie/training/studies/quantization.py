"""With how few bits an adapter works on, and whether fusing into packed weights erases it."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from punie.evaluation.charts import Axis, line_chart
from punie.models.catalog import BUNDLED_ID
from punie.training.studies.lessons import Lessons, lesson_steps, score
from punie.training.studies.pages import Shares, page, percent, pooled, rate_line, shares, table
from punie.training.studies.study import Finished, StepTables, Study

_SOLVED = "all_tasks_solved"
_WAYS = {
    "after": "fused in full precision, then quantised",
    "into": "fused straight into the quantised base",
    "base": "the quantised base without the adapter",
}


class QuantizationOptions(Lessons):
    """Lessons as in the study of a new tool, then fewer bits.

    Attributes:
        bits: bits per weight.
        group_size: weights that share a scale.
    """

    bits: tuple[int, ...] = Field((2, 3, 4, 5, 6, 8), min_length=1)
    group_size: int = 64


def _steps(options: QuantizationOptions) -> StepTables:
    new = {"families": [options.family]}
    steps: StepTables = {}
    for bits in options.bits:
        packed = {"kind": "quantize", "bits": bits, "group_size": options.group_size}
        base = f"base-{bits}"
        steps[base] = {**packed, "model": BUNDLED_ID}
        steps[f"solved-base-{bits}"] = score(f"@{base}", options.tasks, **new)
        for seed in options.seeds:
            name = f"{bits}-{seed}"
            steps[f"after-{name}"] = {**packed, "model": f"@taught-{seed}"}
            steps[f"into-{name}"] = {
                "kind": "fuse",
                "model": f"@{base}",
                "adapter": f"@adapter-{seed}",
                "into_quantized": True,
            }
            for way in ("after", "into"):
                steps[f"solved-{way}-{name}"] = score(f"@{way}-{name}", options.tasks, **new)
    for seed in options.seeds:
        steps |= lesson_steps(options, f"{seed}", seed)
        steps[f"solved-full-{seed}"] = score(f"@taught-{seed}", options.tasks, **new)
    return steps


def _collect(options: QuantizationOptions, finished: Mapping[str, Finished]) -> dict[str, Any]:
    def solved(name: str) -> Shares:
        return shares(finished[f"solved-{name}"])[_SOLVED]

    rows: list[dict[str, Any]] = [
        {
            "bits": bits,
            "bytes": finished[f"base-{bits}"].record.bytes,
            "base": [solved(f"base-{bits}")],
            **{
                way: [solved(f"{way}-{bits}-{seed}") for seed in options.seeds]
                for way in ("after", "into")
            },
        }
        for bits in options.bits
    ]
    full = [solved(f"full-{seed}") for seed in options.seeds]
    summary: dict[str, Any] = {"full precision": percent(pooled(full))}
    for row in rows:
        summary[f"{row['bits']} bits"] = {way: percent(pooled(row[way])) for way in _WAYS}
    return {"full": full, "rows": rows, "summary": summary}


def _page(found: Mapping[str, Any]) -> str:
    rows = [
        (row["bits"], f"{row['bytes'] / 1e6:.2f} MB", *(percent(pooled(row[way])) for way in _WAYS))
        for row in found["rows"]
    ]
    full = percent(pooled(found["full"]))
    return page(
        "Where an adapter's effect dies",
        found,
        f"An adapter taught the bundled model the tool `{found['options']['family']}`. How many "
        "held-out tasks that need the tool are still solved with fewer bits, over all seeds? In "
        f"full precision it is {full}.",
        table(("bits", "model folder", *_WAYS.values()), rows),
        "![Tasks solved by bits](quantization.svg)",
    )


def _charts(found: Mapping[str, Any]) -> dict[str, str]:
    x = [row["bits"] for row in found["rows"]]
    lines = [rate_line(name, x, [row[way] for row in found["rows"]]) for way, name in _WAYS.items()]
    title = "Tasks with the new tool that are solved"
    axes = Axis("bits per weight, without scales"), Axis("solved", percent=True)
    return {"quantization.svg": line_chart(title, *axes, lines)}


QUANTIZATION = Study(
    name="quantization",
    question="With how few bits does a LoRA's effect live on, and does fusing into them erase it?",
    options=QuantizationOptions,
    small={"seeds": (1,), "examples": 40, "steps": 4, "tasks": 4, "bits": (2, 8)},
    steps=_steps,
    collect=_collect,
    page=_page,
    charts=_charts,
)
