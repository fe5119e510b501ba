"""A comparison of models as a table, and as plain data."""

from collections.abc import Sequence
from typing import Any

from punie.evaluation.choosing.deciding import Against, Recommendation, Standing, against
from punie.evaluation.choosing.stage_runs import StageRun
from punie.evaluation.summary import plain_rate
from punie.evaluation.tracker.tables import NOTHING, Table, as_text
from punie.models.catalog import USUAL_CONTEXT
from punie.models.memory import gigabytes

_HEAD = ("model", "size", "memory", "gate 0", "short", "full", "against the first", "seconds")


def comparison_lines(standings: Sequence[Standing], found: Recommendation) -> list[str]:
    """Return the table, why models were left out, and the recommendation, as lines."""
    beside = {one.candidate.name: one for one in against(standings[0], standings)}
    rows = tuple(_row(each, beside.get(each.candidate.name)) for each in standings)
    table = Table("Models", (*_HEAD, "tokens/s", "left out"), rows)
    lines = [as_text(table), ""]
    lines += [
        f"{each.candidate.name}, {each.left_out.kind}: {each.left_out.sentence}"
        for each in standings
        if each.left_out is not None
    ]
    lines += [
        f"Memory is for {USUAL_CONTEXT:,} tokens of context. Short and full are the items solved, "
        "strictly, with what holds the true share in 95 of 100 experiments. Half of the items took "
        "so many seconds at most, several at a time.",
        "",
        f"{'Recommended' if found.candidate else 'Nothing recommended'}"
        f"{': ' + found.candidate.name if found.candidate else ''}. {found.reason}",
    ]
    return lines


def _row(standing: Standing, beside: Against | None) -> tuple[str, ...]:
    seen, last = standing.look, standing.full or standing.short
    gate = seen.gate_zero
    return (
        standing.candidate.name,
        NOTHING if seen.size is None else gigabytes(seen.size),
        NOTHING if seen.memory is None else gigabytes(seen.memory),
        NOTHING if gate is None else "passed" if gate.passed else "FAILED",
        _solved(standing.short),
        _solved(standing.full),
        NOTHING if beside is None else _in_short(beside),
        NOTHING if last is None else f"{last.seconds:.1f}",
        NOTHING
        if last is None or last.record.tokens_per_second is None
        else f"{last.record.tokens_per_second:.0f}",
        "" if standing.left_out is None else standing.left_out.kind,
    )


def _solved(run: StageRun | None) -> str:
    if run is None:
        return NOTHING
    one = run.solved
    return f"{one.value:.0%} ({one.low:.0%} to {one.high:.0%}) of {one.of}"


def _in_short(beside: Against) -> str:
    return f"{beside.paired.difference * 100:+.1f} points, p = {beside.p:.2g}"


def comparison_data(standings: Sequence[Standing], found: Recommendation) -> dict[str, Any]:
    """Return the same as plain data, with the folders of all runs."""
    beside = {one.candidate.name: one for one in against(standings[0], standings)}
    return {
        "models": [_standing(each, beside.get(each.candidate.name)) for each in standings],
        "recommended": None if found.candidate is None else found.candidate.choice.id,
        "reason": found.reason,
        "against_best": [_against(one) for one in found.against],
    }


def _standing(standing: Standing, beside: Against | None) -> dict[str, Any]:
    seen, gate = standing.look, standing.look.gate_zero
    out = standing.left_out
    return {
        "id": standing.candidate.choice.id,
        "bytes": seen.size,
        "needed_bytes": seen.memory,
        "gate_zero": None if gate is None else gate.model_dump(mode="json"),
        "short": _run(standing.short),
        "full": _run(standing.full),
        "against_first": None if beside is None else _against(beside),
        "left_out": None if out is None else {"kind": out.kind, "sentence": out.sentence},
    }


def _run(run: StageRun | None) -> dict[str, Any] | None:
    if run is None:
        return None
    return {
        "folder": str(run.folder),
        "run": run.record.id,
        "solved": plain_rate(run.solved),
        "seconds": run.seconds,
        "tokens_per_second": run.record.tokens_per_second,
        "peak_memory": run.record.peak_memory,
    }


def _against(one: Against) -> dict[str, Any]:
    return {
        "id": one.candidate.choice.id,
        "difference": one.paired.difference,
        "low": one.paired.low,
        "high": one.paired.high,
        "gained": one.paired.gained,
        "lost": one.paired.lost,
        "p": one.p,
    }
