"""Runs and comparisons as plain data, for programs."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from punie.evaluation.intervals import Rate
from punie.evaluation.results import Result, Score
from punie.evaluation.tracker.comparing import Change, Comparison
from punie.evaluation.tracker.history import Point
from punie.evaluation.tracker.reported import Reported
from punie.evaluation.tracker.store import Measure, TrackedRun


def run_data(
    run: TrackedRun,
    measures: Iterable[Measure] = (),
    results: Iterable[Result] | None = None,
    reported: Iterable[Reported] = (),
) -> dict[str, Any]:
    """Return a run's record with its scores, and what else is given.

    The kind "" is all kinds together.
    """
    scores = [
        {"suite": key.suite, "kind": key.kind, "check": key.check, **_score(score)}
        for key, score in run.scores.items()
    ]
    found = {**run.record.model_dump(mode="json"), "scores": scores}
    if one := list(map(asdict, measures)):
        found["measures"] = one
    if results is not None:
        found["items"] = [each.model_dump(mode="json", exclude={"messages"}) for each in results]
    if rows := [row.model_dump(mode="json", exclude_none=True) for row in reported]:
        found["reported"] = rows
    return found


def point_data(point: Point) -> dict[str, Any]:
    """Return a run's place in a history."""
    return {
        "run": point.run,
        "started": point.started.isoformat(),
        "weights": point.weights,
        "suite": point.suite,
        "version": point.version,
        "other_options": dict(point.other),
        **_rate(point.rate),
    }


def comparison_data(found: Comparison) -> dict[str, Any]:
    """Return a comparison; the suite "" is all suites together."""
    return {
        "before": found.before.id,
        "after": found.after.id,
        "check": found.check,
        "soft": found.soft,
        "regressions": list(found.regressions),
        "overall": _change(found.overall),
        "suites": [_change(one) for one in found.suites],
        "kinds": [_change(one) for one in found.kinds],
        "ratios": {name: asdict(one) | {"ratio": one.value} for name, one in found.ratios.items()},
        "warnings": list(found.warnings),
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "suite": change.suite,
        "kind": change.kind,
        "before": _rate(change.before),
        "after": _rate(change.after),
        "difference": change.paired.difference,
        "low": change.paired.low,
        "high": change.paired.high,
        "p": change.p,
        "is_worse": change.is_worse,
        "is_better": change.is_better,
        "gained": list(change.gained),
        "lost": list(change.lost),
    }


def _score(score: Score) -> dict[str, Any]:
    return {"strict": _rate(score.strict), "soft": _rate(score.soft)}


def _rate(found: Rate) -> dict[str, Any]:
    return {
        "rate": found.value,
        "low": found.low,
        "high": found.high,
        "hits": found.hits,
        "of": found.of,
    }
