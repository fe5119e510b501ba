"""What a run of pytest did, read from the events that `in_project/punie_pytest_report.py` writes.

A run may end anywhere, so every beginning of the events is a report too.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

Outcome = Literal["passed", "failed", "error", "skipped", "xfailed", "xpassed"]


class _Start(BaseModel):
    event: Literal["start"]
    executable: str
    pytest: str | None = None


class _Running(BaseModel):
    event: Literal["running"]
    id: str


class _Test(BaseModel):
    event: Literal["test"]
    id: str
    phase: str
    outcome: Literal["passed", "failed", "skipped", "xfailed", "xpassed"]
    seconds: float = 0.0
    message: str = ""
    trace: list[tuple[str, int, str, str]] = []
    output: str = ""


class _Collecting(BaseModel):
    event: Literal["collecting"]
    id: str
    message: str


class _End(BaseModel):
    event: Literal["end"]
    status: int


_EVENT: TypeAdapter[_Start | _Running | _Test | _Collecting | _End] = TypeAdapter(
    Annotated[_Start | _Running | _Test | _Collecting | _End, Field(discriminator="event")]
)


@dataclass(frozen=True)
class Frame:
    """A place in the project that an exception came through; `line` is 1-based."""

    path: str
    line: int
    function: str
    statement: str


@dataclass(frozen=True)
class Failure:
    """A test that failed, or with an outcome of "error" could not be set up, ended or collected."""

    id: str
    outcome: Literal["failed", "error"]
    message: str
    trace: tuple[Frame, ...] = ()
    output: str = ""


@dataclass(frozen=True)
class RunReport:
    """A run of pytest as far as it came; `status` is pytest's exit status, None before its end.

    `running` are the tests that had begun and not ended, the last one last. `pytest` is None where
    it is not installed for the Python `executable`, which is None if that did not even start.
    """

    executable: str | None = None
    pytest: str | None = None
    counts: Counter[Outcome] = field(default_factory=Counter)
    failures: tuple[Failure, ...] = ()
    running: tuple[str, ...] = ()
    slowest: tuple[str, float] = ("", 0.0)
    status: int | None = None


def read_report(printed: str) -> RunReport:
    """Return what the events say; what is no event is left out."""
    start: _Start | None = None
    status: int | None = None
    running: dict[str, None] = {}
    outcomes: Counter[Outcome] = Counter()
    failures: list[Failure] = []
    slowest = ("", 0.0)
    for line in printed.split("\n"):
        try:
            event = _EVENT.validate_python(json.loads(line)) if line else None
        except (ValueError, ValidationError):
            continue
        match event:
            case _Start():
                start = event
            case _Running():
                running[event.id] = None
            case _Test():
                running.pop(event.id, None)
                slowest = max(slowest, (event.id, event.seconds), key=lambda pair: pair[1])
                outcome = _outcome(event)
                outcomes[outcome] += 1
                if outcome in ("failed", "error"):
                    failures.append(_failure(event, outcome == "failed"))
            case _Collecting():
                outcomes["error"] += 1
                failures.append(Failure(event.id, "error", _essence(event.message)))
            case _End():
                status = event.status
            case None:
                pass
    return RunReport(
        executable=None if start is None else start.executable,
        pytest=None if start is None else start.pytest,
        counts=outcomes,
        failures=tuple(failures),
        running=tuple(running),
        slowest=slowest,
        status=status,
    )


def _outcome(event: _Test) -> Outcome:
    # What fails outside of the test itself; a worker that died reports neither phase.
    return "error" if event.outcome == "failed" and event.phase in _AROUND else event.outcome


_AROUND = ("setup", "teardown", "collect")


def _failure(event: _Test, failed: bool) -> Failure:
    return Failure(
        id=event.id,
        outcome="failed" if failed else "error",
        message=event.message,
        trace=tuple(Frame(*frame) for frame in event.trace),
        output=event.output,
    )


def _essence(text: str) -> str:
    """Return what pytest says of a module that cannot be imported, without the way to it."""
    lines = text.strip().split("\n")
    said = [line[1:].strip() for line in lines if line.startswith("E ")]
    places = [line for line in lines if ": in " in line and not line.startswith(("/", " "))]
    return "\n".join([*places[-1:], *said]) if said else "\n".join(lines[-6:])


def counted(counts: Counter[Outcome]) -> str:
    """Return `2 failed, 10 passed` and so on, the bad first."""
    order: Sequence[tuple[Outcome, str]] = (
        ("failed", "failed"),
        ("error", "with errors"),
        ("passed", "passed"),
        ("skipped", "skipped"),
        ("xfailed", "failed as expected"),
        ("xpassed", "passed against expectation"),
    )
    said = [f"{counts[outcome]} {words}" for outcome, words in order if counts[outcome]]
    return ", ".join(said) or "no tests ran"
