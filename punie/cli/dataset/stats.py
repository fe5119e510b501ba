"""`punie dataset stats`: what a dataset holds, in counts."""

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from punie.cli.dataset.arguments import DatasetFolder, Json, Model, chat_format_of
from punie.cli.terminal import printable

if TYPE_CHECKING:
    from rich.table import Table

    from punie.training.data.statistics import Lengths, PartStatistics

_MOST_ROWS = 30
_FILE_WIDTH = 120


def stats(dataset: DatasetFolder, model: Model = None, as_json: Json = False) -> None:
    """Count what a dataset holds.

    Examples by part, task, source and tool, direct answers, duplicates and lengths.
    """
    from rich.console import Console

    from punie.cli.steps import step
    from punie.training.data.dataset import open_dataset
    from punie.training.data.statistics import dataset_statistics

    with step() as (report, stopped):
        chat_format = None if model is None else chat_format_of(model)
        opened = open_dataset(dataset)
        found = dataset_statistics(opened, chat_format, report, stopped)
    if as_json:
        parts = {name: part.model_dump(mode="json") for name, part in found.items()}
        about = opened.manifest
        told = {
            "made_by": about.made_by,
            "seed": about.seed,
            "recipe": about.recipe,
            "parents": about.parents,
            "hash": opened.hash,
            "parts": parts,
        }
        print(json.dumps(told, indent=2, ensure_ascii=False))
        return
    seed = "" if opened.manifest.seed is None else f", seed {opened.manifest.seed}"
    print(printable(f"made by {opened.manifest.made_by}{seed}; hash {opened.hash[:16]}"))
    # Read by a program or kept in a file, a table need not fit a terminal.
    console = Console(width=None if sys.stdout.isatty() else _FILE_WIDTH)
    console.print(_overview(found))
    for title, counted in (("task", "tasks"), ("source", "sources"), ("tool called", "tools")):
        console.print(_by(title, {name: getattr(part, counted) for name, part in found.items()}))


def _overview(found: Mapping[str, "PartStatistics"]) -> "Table":
    table = _table("", *found)
    parts = list(found.values())
    table.add_row("examples", *(f"{part.examples:,}" for part in parts))
    table.add_row("direct answers", *(f"{part.direct_share:.1%}" for part in parts))
    table.add_row("executed", *(f"{part.executed:,}" for part in parts))
    table.add_row("duplicates", *(f"{part.duplicates:,}" for part in parts))
    for name in ("messages", "answers", "characters", "tokens", "learned"):
        lengths = [getattr(part, name) for part in parts]
        if lengths and lengths[0] is not None:
            table.add_row(f"{name}: median, 99 %, most", *map(_lengths, lengths))
            table.add_row(f"{name} in all", *(f"{each.total:,}" for each in lengths))
    return table


def _lengths(lengths: "Lengths") -> str:
    return f"{lengths.median:,}, {lengths.p99:,}, {lengths.most:,}"


def _by(title: str, counts: Mapping[str, Mapping[str, int]]) -> "Table":
    table = _table(title, *counts)
    totals: dict[str, int] = {}
    for part in counts.values():
        for name, number in part.items():
            totals[name] = totals.get(name, 0) + number
    names = sorted(totals, key=lambda name: (-totals[name], name))
    for name in names[:_MOST_ROWS]:
        shown = printable(name) or "(not told)"
        table.add_row(shown, *(f"{part.get(name, 0):,}" for part in counts.values()))
    if len(names) > _MOST_ROWS:
        table.add_row(f"and {len(names) - _MOST_ROWS} more")
    return table


def _table(first: str, *parts: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for part in parts:
        table.add_column(printable(part), justify="right")
    return table
