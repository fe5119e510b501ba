"""Runs and reported rows as a page, as Markdown and as CSV, for others to read."""

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from punie.evaluation.charts import Axis, Bar, bar_chart, can_draw
from punie.evaluation.report.document import document
from punie.evaluation.report.figures import NO_CHARTS, picture
from punie.evaluation.report.markup import Content, Html, element
from punie.evaluation.tracker.history import history, history_chart
from punie.evaluation.tracker.reported import AS_REPORTED, Reported
from punie.evaluation.tracker.store import Measure, TrackedRun
from punie.evaluation.tracker.tables import Table, as_html, as_markdown
from punie.evaluation.tracker.views import (
    machine_name,
    model_name,
    reported_tables,
    runs_table,
    speeds_table,
    suite_measures_table,
    suite_table,
)

TITLE = "Evaluations"
_MOST_MODELS = 6
_MOST_SUITES = 12
_MADE_BY = (
    "Made by `punie track export`. Each run is one of `punie eval`: the agent itself at work on "
    "frozen suites, judged by what it executed and left behind."
)


@dataclass(frozen=True)
class Chart:
    """A drawing: its file name without ending, the SVG, and what it shows in words."""

    name: str
    svg: str
    told: str


@dataclass(frozen=True)
class _Section:
    title: str
    content: tuple[Table | Chart, ...]


@dataclass(frozen=True)
class Exported:
    """What is exported: runs, latest first, the measures of each, and reported rows."""

    runs: Sequence[TrackedRun]
    measures: Sequence[Sequence[Measure]]
    rows: Sequence[Reported]


def as_page(given: Exported) -> str:
    """Return a page that opens offline, with its charts in it."""
    parts: list[Html] = [
        element("header", element("h1", TITLE), element("p", _MADE_BY.replace("`", "")))
    ]
    if not can_draw():
        parts.append(element("p", NO_CHARTS, class_="hint"))
    for section in _sections(given):
        shown: list[Content] = [element("h2", section.title)]
        for part in section.content:
            shown.append(as_html(part) if isinstance(part, Table) else picture(part.svg, part.told))
        parts.append(element("section", *shown))
    return document(TITLE, parts)


def as_markdown_page(given: Exported, *, prefix: str | None) -> tuple[str, list[Chart]]:
    """Return a page in Markdown and the charts that are to lie beside it.

    `prefix` begins the names of their files; with None there are none.
    """
    parts = [f"# {TITLE}", _MADE_BY]
    charts: list[Chart] = []
    for section in _sections(given):
        parts.append(f"## {section.title}")
        for part in section.content:
            if isinstance(part, Table):
                parts.append(as_markdown(part))
            elif prefix is not None:
                charts.append(part)
                parts.append(f"![{part.told}]({prefix}-{part.name}.svg)")
    return "\n\n".join(parts) + "\n", charts


def as_csv(given: Exported) -> str:
    """Return one line for each score of each run, and one for each reported row.

    The column `origin` tells them apart. Times are in seconds, sizes in bytes.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, _COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for run in given.runs:
        writer.writerows(_score_lines(run))
    writer.writerows(map(_reported_line, given.rows))
    return out.getvalue()


def _sections(given: Exported) -> Iterator[_Section]:
    runs = given.runs
    if runs:
        chart = _solved_chart(runs)
        drawn = () if chart is None else (chart,)
        yield _Section("All runs", (runs_table(runs), *drawn, speeds_table(runs)))
    left = list(given.rows)
    for suite in dict.fromkeys(one.name for run in runs for one in run.record.suites):
        content: list[Table | Chart] = [suite_table(suite, runs)]
        measured = suite_measures_table(suite, zip(runs, given.measures, strict=True))
        content += [] if measured is None else [measured]
        content += _history_charts(suite, runs)
        content += reported_tables(row for row in left if row.suite == suite)
        left = [row for row in left if row.suite != suite]
        yield _Section(suite, tuple(content))
    if left:
        yield _Section("What others reported", tuple(reported_tables(left)))


def _solved_chart(runs: Sequence[TrackedRun]) -> Chart | None:
    """Draw what the latest run of each model solved; runs come latest first."""
    latest: dict[str, TrackedRun] = {}
    for run in runs:
        latest.setdefault(run.record.model.reference, run)
    chosen = list(latest.values())[:_MOST_MODELS]
    suites = list(dict.fromkeys(one.name for run in chosen for one in run.record.suites))
    suites = suites[:_MOST_SUITES]
    if not can_draw() or not suites:
        return None
    series = []
    for run in chosen:
        scores = [run.solved(suite).strict for suite in suites]
        bars = [Bar(one.value, one.low, one.high) if one.of else Bar(math.nan) for one in scores]
        series.append((model_name(run.record.model.reference), bars))
    title = "Solved strictly by the latest run of each model"
    svg = bar_chart(title, Axis("solved", percent=True), suites, series)
    return Chart("solved", svg, f"Bars: {title.lower()}, with intervals, as in the tables below.")


def _history_charts(suite: str, runs: Sequence[TrackedRun]) -> Iterator[Chart]:
    if not can_draw():
        return
    models = dict.fromkeys(run.record.model.reference for run in runs)
    for number, model in enumerate(models, 1):
        own = [run for run in runs if run.record.model.reference == model]
        own = [run for run in own if run.solved(suite).strict.of]
        if len(own) > 1:
            title = f"{model_name(model)}: {suite} over time"
            svg = history_chart(title, history(own, model, suite))
            told = f"Line: {title}, solved strictly, as in the table."
            yield Chart(f"{suite}-{number}", svg, told)


_COLUMNS = (
    "origin",
    "run",
    "started",
    "model",
    "weights",
    "quantisation",
    "adapter",
    "recipe",
    "machine",
    "punie",
    "revision",
    "suite",
    "version",
    "kind",
    "check",
    "strict_hits",
    "soft_hits",
    "tries",
    "strict",
    "strict_low",
    "strict_high",
    "soft",
    "soft_low",
    "soft_high",
    "item_seconds_p50",
    "item_seconds_p90",
    "item_seconds_p99",
    "first_token_seconds_p50",
    "tokens_per_second",
    "peak_memory",
    "source",
    "benchmark",
    "condition",
    "standing",
    "measured",
    "note",
    "load_seconds",
    "first_query_seconds",
    "query_seconds",
    "calls",
)


def _score_lines(run: TrackedRun) -> Iterator[dict[str, object]]:
    record = run.record
    versions = {suite.name: suite.version for suite in record.suites}
    about: dict[str, object] = {
        "origin": "measured here",
        "run": record.id,
        "started": record.started.isoformat(),
        "model": model_name(record.model.reference),
        "weights": record.model.weights,
        "quantisation": record.model.quantisation,
        "adapter": record.model.adapter,
        "recipe": model_name(record.model.recipe),
        "machine": machine_name(record.machine),
        "punie": record.punie,
        "revision": record.revision,
        "tokens_per_second": record.tokens_per_second,
        "peak_memory": record.peak_memory,
    }
    if record.latency is not None:
        about |= {
            "item_seconds_p50": record.latency.p50,
            "item_seconds_p90": record.latency.p90,
            "item_seconds_p99": record.latency.p99,
        }
    if record.first_token is not None:
        about["first_token_seconds_p50"] = record.first_token.p50
    for key, score in run.scores.items():
        yield about | {
            "suite": key.suite,
            "version": versions[key.suite],
            "kind": key.kind,
            "check": key.check,
            "strict_hits": score.strict.hits,
            "soft_hits": score.soft.hits,
            "tries": score.strict.of,
            "strict": score.strict.value,
            "strict_low": score.strict.low,
            "strict_high": score.strict.high,
            "soft": score.soft.value,
            "soft_low": score.soft.low,
            "soft_high": score.soft.high,
        }


def _reported_line(row: Reported) -> dict[str, object]:
    right = row.right
    return {
        "origin": AS_REPORTED,
        "started": "" if row.date is None else row.date.isoformat(),
        "model": row.model,
        "machine": row.machine,
        "suite": row.suite,
        "strict_hits": row.hits,
        "soft_hits": row.soft_hits,
        "tries": row.of,
        "strict": row.share if right is None else right.value,
        "peak_memory": None if row.gigabytes is None else round(row.gigabytes * 1e9),
        "source": row.source,
        "benchmark": row.benchmark,
        "condition": row.condition,
        "standing": row.standing,
        "measured": row.measured,
        "note": row.note,
        "load_seconds": row.load_seconds,
        "first_query_seconds": row.first_seconds,
        "query_seconds": row.seconds,
        "calls": row.calls,
    }
