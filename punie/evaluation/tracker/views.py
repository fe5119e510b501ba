"""What runs and reported rows look like as tables and lines."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

from punie.evaluation.intervals import Rate, rate
from punie.evaluation.report.figures import figure, measured, seconds
from punie.evaluation.results import Result
from punie.evaluation.run_record import MachineRecord, RunRecord
from punie.evaluation.tracker.reported import AS_REPORTED, Reported
from punie.evaluation.tracker.store import ALL_KINDS, Measure, TrackedRun
from punie.evaluation.tracker.tables import NOTHING, Table
from punie.models.memory import gigabytes

INTERVALS = "In brackets: what holds the true share in 95 of 100 experiments (Wilson's interval)."
HASH_LETTERS = 12
"""Of a hash, as many as tell weights apart."""


def share(found: Rate | None) -> str:
    """Return a rate with its interval."""
    if found is None or not found.of:
        return NOTHING
    return f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})"


def model_name(reference: str) -> str:
    """Return how a model is called where others read it: of a folder only the last part."""
    is_path = reference.startswith(("/", "~", "./", "../"))
    return (PurePath(reference).name or reference) if is_path else reference


def machine_name(machine: MachineRecord) -> str:
    """Return a machine in a few words."""
    parts = [
        machine.processor,
        f"{machine.cores} cores",
        gigabytes(machine.memory),
        machine.system,
    ]
    return ", ".join(filter(None, parts))


def moment(when: datetime) -> str:
    """Return a time to the minute, in UTC."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M}"


def solved_in_all(run: TrackedRun) -> Rate:
    """Return how much was strictly solved in all suites together."""
    found = [run.solved(suite.name).strict for suite in run.record.suites]
    return rate(sum(each.hits for each in found), sum(each.of for each in found))


def list_lines(run: TrackedRun) -> list[str]:
    """Return a run in two lines."""
    record = run.record
    suites = [f"{suite.name} {suite.version}" for suite in record.suites]
    named = ", ".join(suites) if len(suites) <= 3 else f"{len(suites)} suites"
    figures = [
        f"solved {solved_in_all(run)}",
        "" if record.latency is None else f"{seconds(record.latency.p50)} an item",
        "" if record.tokens_per_second is None else f"{record.tokens_per_second:.3g} tokens/s",
        "" if record.peak_memory is None else gigabytes(record.peak_memory),
    ]
    return [
        f"{record.id}  {moment(record.started)}  {record.model.reference}  {named}",
        "    " + ", ".join(filter(None, figures)),
    ]


def facts(record: RunRecord) -> list[tuple[str, str]]:
    """Return what is known of a run beside its scores, as names and values."""
    model = record.model
    found = [
        ("model", model.reference),
        ("weights", model.weights or ""),
        ("quantisation", model.quantisation or ""),
        ("adapter", model.adapter or ""),
        ("recipe", model.recipe),
        ("machine", machine_name(record.machine)),
        ("options", _in_words(record.options)),
        *(("left out", f"{one.name}: {one.left_out}") for one in record.suites if one.left_out),
        ("Punie", f"{record.punie} {record.revision}".strip()),
        ("started", f"{moment(record.started)} UTC"),
        ("worked for", seconds(record.seconds)),
        ("item", _spread(record, "latency")),
        ("first token", _spread(record, "first_token")),
        (
            "speed",
            ""
            if record.tokens_per_second is None
            else f"{record.tokens_per_second:.4g} tokens/s, all sessions together",
        ),
        (
            "memory",
            "" if record.peak_memory is None else f"{gigabytes(record.peak_memory)} at most",
        ),
    ]
    return [(name, value) for name, value in found if value]


def _in_words(options: Mapping[str, Any]) -> str:
    """Return the options that were given or are not nothing."""
    return ", ".join(
        f"{name} = {value}" for name, value in options.items() if value not in (None, [], ())
    )


def _spread(record: RunRecord, name: str) -> str:
    found = record.latency if name == "latency" else record.first_token
    if found is None:
        return ""
    return (
        f"{seconds(found.p50)} in the median, {seconds(found.p90)} at 90 %, "
        f"{seconds(found.p99)} at 99 %, {found.of} of them"
    )


def scores_table(run: TrackedRun, suite: str | None = None) -> Table:
    """Return the scores of a run's suites as wholes, or all of one suite by kind."""
    versions = {one.name: one.version for one in run.record.suites}
    rows = [
        (
            f"{key.suite} {versions[key.suite]}",
            key.kind or "all",
            key.check,
            share(score.strict),
            share(score.soft),
            str(score.strict.of),
        )
        for key, score in run.scores.items()
        if (key.kind == ALL_KINDS if suite is None else key.suite == suite)
    ]
    head = ("suite", "kind", "check", "strict", "soft", "tries")
    return Table(f"Scores of {run.record.id}", head, tuple(rows), INTERVALS)


def measures_table(measures: Iterable[Measure]) -> Table:
    """Return the figures of a run's items."""
    rows = [
        (
            one.suite,
            one.name,
            *(measured(one.name, each) for each in (one.mean, one.least, one.most)),
            str(one.of),
        )
        for one in measures
    ]
    return Table("Measures", ("suite", "measure", "mean", "least", "most", "tries"), tuple(rows))


def item_lines(results: Iterable[Result]) -> list[str]:
    """Return how each item came out, one line each."""
    lines = []
    for result in results:
        solved = result.solved
        state = "solved" if solved.strict else "softly" if solved.soft else "not"
        told = result.trouble or result.verdict.note
        seed = "" if result.seed is None else f" seed {result.seed}"
        attempt = f" attempt {result.attempt}" if result.attempt else ""
        line = f"  {state:<6} {result.suite} {result.item}{seed}{attempt}"
        lines.append(f"{line}: {' '.join(told.split())}" if told else line)
    return lines


def runs_table(runs: Iterable[TrackedRun]) -> Table:
    """Return what runs were of."""
    rows = [
        (
            run.record.id,
            model_name(run.record.model.reference),
            share(solved_in_all(run)),
            run.record.model.quantisation or "",
            (run.record.model.weights or "")[:HASH_LETTERS],
            (run.record.model.adapter or "")[:HASH_LETTERS],
            model_name(run.record.model.recipe),
            machine_name(run.record.machine),
            f"{run.record.punie} {run.record.revision}".strip(),
        )
        for run in runs
    ]
    head = (
        "run",
        "model",
        "solved in all its suites",
        "quantisation",
        "weights",
        "adapter",
        "recipe",
        "machine",
        "Punie",
    )
    return Table("Runs", head, tuple(rows), INTERVALS)


def speeds_table(runs: Iterable[TrackedRun]) -> Table:
    """Return how fast and how large runs were."""
    rows = [
        (run.record.id, model_name(run.record.model.reference), *_speeds(run.record))
        for run in runs
    ]
    head = (
        "run",
        "model",
        "an item",
        "90 % of items",
        "99 % of items",
        "first token",
        "tokens/s",
        "memory",
    )
    note = (
        "Times are medians where nothing else is said. Tokens per second are those of all sessions "
        "that ran at once."
    )
    return Table("Speed and memory", head, tuple(rows), note)


def _speeds(record: RunRecord) -> tuple[str, ...]:
    latency, first = record.latency, record.first_token
    return (
        *(
            (NOTHING, NOTHING, NOTHING)
            if latency is None
            else tuple(map(seconds, (latency.p50, latency.p90, latency.p99)))
        ),
        NOTHING if first is None else seconds(first.p50),
        NOTHING if record.tokens_per_second is None else figure(record.tokens_per_second),
        NOTHING if record.peak_memory is None else gigabytes(record.peak_memory),
    )


def suite_table(suite: str, runs: Iterable[TrackedRun]) -> Table:
    """Return how a suite came out in each run that has it, check by check."""
    found = [
        (key.check, run, version, score)
        for run in runs
        for version in (one.version for one in run.record.suites if one.name == suite)
        for key, score in run.scores.items()
        if (key.suite, key.kind) == (suite, ALL_KINDS)
    ]
    rows = [
        (
            check,
            run.record.id,
            model_name(run.record.model.reference),
            run.record.model.quantisation or "",
            str(version),
            share(score.strict),
            share(score.soft),
            str(score.strict.of),
        )
        for each in dict.fromkeys(check for check, *_ in found)
        for check, run, version, score in found
        if check == each
    ]
    head = ("check", "run", "model", "quantisation", "version", "strict", "soft", "tries")
    return Table("Measured by punie eval", head, tuple(rows), INTERVALS)


def suite_measures_table(
    suite: str, runs: Iterable[tuple[TrackedRun, Sequence[Measure]]]
) -> Table | None:
    """Return the mean figures of a suite's items in each run; None if there are none."""
    own = [(run, {one.name: one for one in found if one.suite == suite}) for run, found in runs]
    own = [(run, found) for run, found in own if found]
    names = list(dict.fromkeys(name for _, found in own for name in found))
    heads = (name.replace("_", " ") for name in names)
    rows = [
        (
            run.record.id,
            model_name(run.record.model.reference),
            *(measured(name, found[name].mean) if name in found else NOTHING for name in names),
        )
        for run, found in own
    ]
    return Table("Measures, in the mean", ("run", "model", *heads), tuple(rows)) if rows else None


def reported_tables(rows: Iterable[Reported]) -> list[Table]:
    """Return rows that others published, marked as such, one table for each of their benchmarks."""
    parts: dict[tuple[str, ...], list[Reported]] = {}
    for row in rows:
        parts.setdefault((row.source, row.machine, row.benchmark, row.measured), []).append(row)
    return [_reported_table(some) for some in parts.values()]


def _reported_table(rows: Sequence[Reported]) -> Table:
    shown = [
        (
            row.model,
            row.condition,
            "" if row.date is None else row.date.isoformat(),
            _right(row),
            "" if row.soft_hits is None or row.of is None else f"{row.soft_hits} of {row.of}",
            _seconds(row.load_seconds),
            _seconds(row.first_seconds),
            _seconds(row.seconds),
            "" if row.gigabytes is None else f"{row.gigabytes:g} GB",
            "" if row.calls is None else str(row.calls),
            row.standing,
            row.note,
        )
        for row in rows
    ]
    head = (
        "model",
        "condition",
        "date",
        "right",
        "softly right",
        "to load",
        "first query",
        "a query",
        "memory",
        "calls",
        "standing",
        "note",
    )
    one = rows[0]
    note = f"{AS_REPORTED.capitalize()}, not measured by Punie. What it measured: {one.measured}"
    caption = f"{AS_REPORTED.capitalize()}: {one.benchmark} ({one.source}, {one.machine})"
    return Table(caption, head, tuple(shown), note)


def _right(row: Reported) -> str:
    if row.share is not None:
        return f"{row.share:.1%}"
    found = row.right
    if found is None:
        return NOTHING
    return f"{found.hits} of {found.of} ({found.low:.0%} to {found.high:.0%})"


def _seconds(value: float | None) -> str:
    return NOTHING if value is None else f"{value:g} s"
