"""The head of a report: which model, on which machine, how, and what came of it in one table."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from punie.evaluation.report.figures import by_suite, seconds, share
from punie.evaluation.report.markup import Content, Html, element, table
from punie.evaluation.results import Result, scores
from punie.evaluation.run_record import RunRecord
from punie.models.memory import gigabytes


def facts(record: RunRecord, results: Sequence[Result]) -> Html:
    """Return what is known of a run as a list of names and values."""
    model = record.model
    found: list[tuple[str, Content]] = [
        ("model", model.reference),
        ("weights", element("code", model.weights or "unknown")),
        ("quantisation", model.quantisation or "unknown"),
        ("adapter", element("code", model.adapter) if model.adapter else ""),
        ("recipe", model.recipe),
        ("machine", _machine(record)),
        ("memory at most", "" if record.peak_memory is None else gigabytes(record.peak_memory)),
        ("speed", _speed(record, results)),
        ("time to first token", _first_token(record)),
        ("options", _options(record.options)),
        *(("left out", f"{one.name}: {one.left_out}") for one in record.suites if one.left_out),
        ("Punie", " ".join(filter(None, [record.punie, record.revision]))),
        ("begun", _moment(record.started)),
        ("ended", "not yet" if record.ended is None else _moment(record.ended)),
        ("run", record.id),
    ]
    return element(
        "dl",
        *(
            element("div", element("dt", name), element("dd", value))
            for name, value in found
            if value
        ),
        class_="known",
    )


def summary_table(record: RunRecord, results: Sequence[Result]) -> Html:
    """Return how much of each suite was solved, and of all of them."""
    due = {suite.name: suite for suite in record.suites}
    rows: list[list[Content]] = []
    for name, some in by_suite(results).items():
        solved = scores(some)["solved"]
        items = len({result.item for result in some})
        known = due.get(name)
        rows.append(
            [
                element("a", name, href=f"#{anchor(name)}"),
                known.version if known else "?",
                share(solved.strict),
                share(solved.soft),
                f"{items} of {known.items}" if known and known.items != items else items,
                len(some),
                sum(bool(result.trouble) for result in some) or "–",
            ]
        )
    head = ["suite", "version", "strict", "soft", "items", "tries", "troubles"]
    note = (
        "Solved strictly is what was due; softly is what a person would let pass. In small, the "
        "interval that holds the true share in 95 of 100 experiments (Wilson's)."
    )
    return table("All suites", head, rows, note=note)


def anchor(suite: str) -> str:
    """Return the name by which a link finds a suite's section."""
    return "suite-" + "".join(letter if letter.isalnum() else "-" for letter in suite)


def _machine(record: RunRecord) -> str:
    machine = record.machine
    parts = [machine.processor, machine.system, f"{machine.cores} cores", gigabytes(machine.memory)]
    return ", ".join(part for part in parts if part)


def _speed(record: RunRecord, results: Sequence[Result]) -> str:
    written = sum(result.tokens for result in results)
    took = f"{written:,} tokens written in {seconds(record.seconds)}"
    if record.tokens_per_second is None:
        return took
    return f"{record.tokens_per_second:,.1f} tokens/s over all sessions together; {took}"


def _first_token(record: RunRecord) -> str:
    spread = record.first_token
    if spread is None:
        return ""
    return f"half within {seconds(spread.p50)}, 99 % within {seconds(spread.p99)}"


def _options(options: Mapping[str, Any]) -> str:
    """Return the options that were given; what is None or empty was left to others."""
    given = {name: value for name, value in options.items() if value not in (None, [], ())}
    return ", ".join(f"{name} = {value}" for name, value in given.items())


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
