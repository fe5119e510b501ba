"""How one figure of one model went over time."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from punie.evaluation.charts import Axis, Line, line_chart
from punie.evaluation.errors import EvaluationError
from punie.evaluation.intervals import Rate
from punie.evaluation.run_record import RunRecord
from punie.evaluation.tracker.comparing import AT_ONCE, differing_options
from punie.evaluation.tracker.store import ALL_KINDS, ScoreKey, TrackedRun
from punie.evaluation.tracker.tables import NOTHING, Table
from punie.evaluation.tracker.views import INTERVALS, model_name, moment, share

_WIDTH = 40
_UNITS = (("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0))


@dataclass(frozen=True)
class Point:
    """One run's rate in a suite of a version.

    `other` are the options in which it differs from the latest run, with its values; how many
    sessions ran at once is none of them.
    """

    run: str
    started: datetime
    weights: str
    suite: str
    version: int
    rate: Rate
    other: Mapping[str, Any]


def history(
    runs: Iterable[TrackedRun],
    model: str,
    suite: str | None = None,
    check: str = "solved",
    kind: str = ALL_KINDS,
    *,
    soft: bool = False,
) -> list[Point]:
    """Return the rates of a model's runs, suite by suite, oldest first.

    Raises:
        EvaluationError: there is none with such a suite, kind or check.
    """
    runs = [run for run in runs if run.record.model.reference == model]
    if not runs:
        raise EvaluationError(f"There is no run of {model!r}; `punie track list` shows all.")
    latest = max((run.record for run in runs), key=lambda record: record.started)
    found = [
        Point(
            run.record.id,
            run.record.started,
            run.record.model.weights or "",
            one.name,
            one.version,
            score.soft if soft else score.strict,
            _other_options(run.record, latest),
        )
        for run in runs
        for one in run.record.suites
        if suite in (None, one.name)
        and (score := run.scores.get(ScoreKey(one.name, kind, check))) is not None
    ]
    if not found:
        told = [f"the check {check!r}", f"the kind {kind!r}" if kind else ""]
        raise EvaluationError(
            f"No run of {model} has {' and '.join(filter(None, told))} in "
            f"{'any suite' if suite is None else 'the suite ' + repr(suite)}; `punie track show` "
            "lists what a run has."
        )
    return sorted(found, key=lambda point: (point.suite, point.started, point.run))


def _other_options(record: RunRecord, latest: RunRecord) -> Mapping[str, Any]:
    names = differing_options(record, latest)
    return {name: record.options.get(name) for name in names if name != AT_ONCE}


def history_table(model: str, points: Sequence[Point], check: str) -> Table:
    """Return the points as a table with a small chart in its last column."""
    rows = [
        (
            f"{point.suite} {point.version}",
            moment(point.started),
            point.run,
            point.weights[:12],
            share(point.rate),
            str(point.rate.of),
            _told(point.other) or NOTHING,
            _interval_drawn(point.rate),
        )
        for point in points
    ]
    note = INTERVALS
    if any(point.other for point in points):
        note += " Other options: those in which a run differs from the latest one."
    drawn = "0 %".ljust(_WIDTH - 5) + "100 %"
    head = ("suite", "started", "run", "weights", check, "tries", "other options", drawn)
    return Table(f"{model_name(model)}: {check} over time", head, tuple(rows), note)


def _told(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in options.items())


def _interval_drawn(found: Rate) -> str:
    """Return a line from 0 to 1 with the interval and the rate in it."""
    low, at, high = (round(value * (_WIDTH - 1)) for value in (found.low, found.value, found.high))
    cells = ["·"] * _WIDTH
    cells[low : high + 1] = "━" * (high + 1 - low)
    cells[at] = "●"
    return "".join(cells)


def _line_of(point: Point) -> str:
    name = f"{point.suite} {point.version}"
    return f"{name}, {_told(point.other)}" if point.other else name


def history_chart(title: str, points: Sequence[Point]) -> str:
    """Draw the rates over time and return the SVG.

    There is one line for each version of each suite, and one of its own for other options.

    Raises `TrainingError` if matplotlib is not installed.
    """
    first = min(point.started for point in points)
    span = (max(point.started for point in points) - first).total_seconds()
    unit, length = next((one for one in _UNITS if span >= one[1]), _UNITS[-1])
    lines = []
    for name in dict.fromkeys(map(_line_of, points)):
        some = [point for point in points if _line_of(point) == name]
        lines.append(
            Line(
                name,
                [(point.started - first).total_seconds() / length for point in some],
                [point.rate.value for point in some],
                [point.rate.low for point in some],
                [point.rate.high for point in some],
            )
        )
    since = Axis(f"{unit} since {moment(first)} UTC")
    return line_chart(title, since, Axis("share", percent=True), lines)
