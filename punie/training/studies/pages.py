"""What the pages of studies have in common."""

from collections.abc import Mapping, Sequence
from typing import Any

from punie.evaluation.charts import Line
from punie.evaluation.intervals import Rate, rate
from punie.evaluation.outcomes import rates
from punie.evaluation.tasks import read_tasks
from punie.training.studies.study import Finished

Shares = dict[str, int]
"""A rate as plain data: `hits` of so many."""


def shares(scored: Finished) -> dict[str, Shares]:
    """Return the rates of an evaluation by name, as plain data."""
    found = rates(read_tasks(scored.folder))
    return {name: {"hits": one.hits, "of": one.of} for name, one in found.items()}


def page(title: str, found: Mapping[str, Any], *parts: str) -> str:
    """Return a page: its title, how it is made again, and its parts."""
    options = _pairs(found["options"])
    made = (
        f"Made by `punie study {found['study']}`; every run with the same options gives the same "
        f"figures on the same machine.\nOptions: {options}.\n\n"
        "Intervals hold the true share in 95 of 100 experiments (Wilson's)."
    )
    return "\n\n".join([f"# {title}", made, *parts]) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table in Markdown."""
    lines = [_row(head), _row(["---"] * len(head)), *map(_row, rows)]
    return "\n".join(lines)


def percent(found: Rate) -> str:
    """Return a share with its interval."""
    return f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})"


def pooled(parts: Sequence[Shares]) -> Rate:
    """Return the rate over several evaluations, of their plain rates."""
    return rate(sum(part["hits"] for part in parts), sum(part["of"] for part in parts))


def rate_line(name: str, x: Sequence[float], parts: Sequence[Sequence[Shares]]) -> Line:
    """Return a line of pooled rates, one for each x, with their intervals as its band."""
    rates = [pooled(each) for each in parts]
    low, high = [rate.low for rate in rates], [rate.high for rate in rates]
    return Line(name, x, [rate.value for rate in rates], low, high)


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _pairs(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {_value(value)}" for key, value in options.items())


def _value(value: object) -> str:
    if isinstance(value, dict):
        return f"{{{_pairs(value)}}}"
    if isinstance(value, list):
        return ", ".join(str(each) for each in value)
    return str(value)
