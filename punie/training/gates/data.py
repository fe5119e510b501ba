"""The data gate: whether a dataset is good enough to train on.

It fails closed: what could not be looked at has not passed, and an empty dataset does not pass.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from punie.models.mlx.chat_format import ChatFormat
from punie.tools.wording import count
from punie.training.data.dataset import WHOLE, Dataset, open_dataset
from punie.training.data.example import Example
from punie.training.data.leakage import (
    NEAR,
    Trace,
    leaks_between,
    numbered_examples,
    trace,
)
from punie.training.data.sequences import training_sequences
from punie.training.data.validation import validate_dataset
from punie.training.errors import TrainingError
from punie.training.gates.report import Check, GateReport
from punie.training.progress import Reporter, Stopped, never, quiet

_NAMED = 3
_TRAIN = "train"


class DataLimits(BaseModel):
    """What a dataset must keep to.

    Attributes:
        least_examples: so many examples must there be to learn from.
        least_direct, most_direct: the share of examples to learn from that are answered without a
            tool, each from 0 to 1. Too few, and the model calls tools whatever is asked.
        most_of_one_tool: the share of all calls that one tool may have, from 0 to 1.
        most_leaks: how many examples of later parts earlier ones may give away.
        near: from which likeness on two conversations are near duplicates.
        most_unexecuted: how many examples may hold results that no tool returned.
        window: tokens that an example may have; None for the window of the model it is for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    least_examples: int = Field(default=1, ge=1)
    least_direct: float = Field(default=0.2, ge=0, le=1)
    most_direct: float = Field(default=0.4, ge=0, le=1)
    most_of_one_tool: float = Field(default=0.6, gt=0, le=1)
    most_leaks: int = Field(default=0, ge=0)
    near: float = Field(default=NEAR, gt=0, le=1)
    most_unexecuted: int = Field(default=0, ge=0)
    window: int | None = Field(default=None, ge=1)


_USUAL = DataLimits()


@dataclass
class _Seen:
    """What one look at all examples tells."""

    traces: list[Trace] = field(default_factory=list)
    learned: int = 0
    direct: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    unexecuted: list[str] = field(default_factory=list)
    longest: int = 0
    too_long: list[str] = field(default_factory=list)
    unrendered: list[str] = field(default_factory=list)


def data_gate(
    dataset: Path,
    limits: DataLimits = _USUAL,
    chat_format: ChatFormat | None = None,
    window: int | None = None,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> GateReport:
    """Look at a dataset; with a model's format and its window (in tokens) also at the lengths.

    Raises:
        TrainingError: there is no dataset, or it cannot be read.
        Interrupted: somebody asked to stop.
    """
    opened = open_dataset(dataset)
    valid = validate_dataset(opened, _NAMED, report, stopped)
    checks = [
        Check(
            name="examples are sound",
            passed=valid.valid,
            found=f"{count(valid.examples, 'example')}, {count(valid.fault_count, 'fault')}"
            + _named([str(fault) for fault in valid.faults], valid.fault_count),
            measured=valid.fault_count,
            limit=0,
        )
    ]
    if valid.valid:
        seen = _look(opened, chat_format, limits.window or window, report, stopped)
        checks += _checks(seen, limits)
        if chat_format is not None:
            checks.append(_fits(seen, limits.window or window))
    return GateReport(
        gate="data", subject=str(dataset), subject_hash=opened.hash, checks=tuple(checks)
    )


def _look(
    dataset: Dataset,
    chat_format: ChatFormat | None,
    window: int | None,
    report: Reporter,
    stopped: Stopped,
) -> _Seen:
    seen = _Seen()
    learned_part = _TRAIN if _TRAIN in dataset.manifest.parts else WHOLE
    for part, line, example in numbered_examples(dataset, "looking", report, stopped):
        seen.traces.append(trace(part, line, example))
        place = f"{part}.jsonl line {line}"
        if example.calls and not example.executed:
            seen.unexecuted.append(place)
        if part == learned_part:
            calls = example.learned_calls
            seen.learned += 1
            seen.direct += not calls
            seen.calls.update(call.name for call in calls)
        if chat_format is not None:
            _measure(seen, chat_format, dataset, example, place, window)
    return seen


def _measure(
    seen: _Seen,
    chat_format: ChatFormat,
    dataset: Dataset,
    example: Example,
    place: str,
    window: int | None,
) -> None:
    try:
        sequences = training_sequences(chat_format, example, dataset.prefix(example))
    except TrainingError as error:
        seen.unrendered.append(f"{place}: {error}")
        return
    longest = max((len(sequence.ids) for sequence in sequences), default=0)
    seen.longest = max(seen.longest, longest)
    if window is not None and longest > window:
        seen.too_long.append(f"{place} has {longest}")


def _checks(seen: _Seen, limits: DataLimits) -> Iterator[Check]:
    yield Check(
        name="enough to learn from",
        passed=seen.learned >= limits.least_examples,
        found=f"{count(seen.learned, 'example')} in the part that is learned",
        measured=seen.learned,
        limit=limits.least_examples,
    )
    share = seen.direct / seen.learned if seen.learned else 0.0
    yield Check(
        name="direct answers",
        passed=limits.least_direct <= share <= limits.most_direct,
        found=f"{share:.1%} of the examples call no tool, "
        f"{limits.least_direct:.0%} to {limits.most_direct:.0%} should",
        measured=share,
        limit=limits.most_direct if share > limits.most_direct else limits.least_direct,
    )
    total = seen.calls.total()
    name, most_calls = seen.calls.most_common(1)[0] if total else ("no tool", 0)
    most = most_calls / total if total else 0.0
    yield Check(
        name="no tool above its share",
        passed=most <= limits.most_of_one_tool,
        found=f"{name} has {most:.1%} of {total} calls, at most {limits.most_of_one_tool:.0%}",
        measured=most,
        limit=limits.most_of_one_tool,
    )
    yield Check(
        name="results were returned by tools",
        passed=len(seen.unexecuted) <= limits.most_unexecuted,
        found=f"{count(len(seen.unexecuted), 'example')} with calls that were not executed"
        + _named(seen.unexecuted, len(seen.unexecuted)),
        measured=len(seen.unexecuted),
        limit=limits.most_unexecuted,
    )
    leaks = leaks_between(seen.traces, limits.near)
    leaked = len({(leak.found.part, leak.found.line) for leak in leaks})
    yield Check(
        name="parts have nothing in common",
        passed=leaked <= limits.most_leaks,
        found=f"{count(leaked, 'example')} that another part gives away"
        + _named([str(leak) for leak in leaks], len(leaks)),
        measured=leaked,
        limit=limits.most_leaks,
    )


def _fits(seen: _Seen, window: int | None) -> Check:
    faults = [*seen.unrendered, *seen.too_long]
    if window is None:
        return Check(
            name="fits the model", passed=False, found="the model's window is not known; name one"
        )
    return Check(
        name="fits the model",
        passed=not faults,
        found=f"the longest has {seen.longest} tokens, the window {window}"
        + _named(faults, len(faults)),
        measured=seen.longest,
        limit=window,
    )


def _named(places: list[str], number: int) -> str:
    if not places:
        return ""
    more = f"; and {number - _NAMED} more" if number > _NAMED else ""
    return f" ({'; '.join(places[:_NAMED])}{more})"
