"""Runs as `punie eval` leaves them, with outcomes that a test chooses."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from punie.evaluation.results import RESULTS, Result, result_line
from punie.evaluation.run_record import (
    MachineRecord,
    ModelRecord,
    RunRecord,
    SuiteRecord,
    ended_run,
    write_run,
)
from punie.evaluation.suite import Check, Verdict
from punie.training.data.example import Message

STARTED = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)


def made_record(number: int = 1, **other: Any) -> RunRecord:
    """Return the record of a run that began on the day of that number."""
    record = RunRecord(
        id=f"202611{number:02}-1200-0a{number:02}",
        model=ModelRecord(
            reference="punie-tiny",
            weights=f"{number:02}" * 32,
            quantisation="none",
            recipe="punie-tiny",
        ),
        machine=MachineRecord(
            system="Linux x86_64", processor="AMD EPYC", cores=2, memory=24 << 30
        ),
        suites=(SuiteRecord(name="edits", version=1, items=4),),
        options={"temperature": 0.0, "seeds": [0]},
        punie="0.1.0",
        revision="0123456789ab",
        started=STARTED + timedelta(days=number),
    )
    return record.model_copy(update=other)


def made_results(
    suite: str, right: Sequence[bool], *, kinds: int = 2, seconds: float = 1.0, **other: Any
) -> list[Result]:
    """Return one result for each of `right`; softly all are right."""
    return [
        Result(
            suite=suite,
            item=f"item/{number:03}",
            kind=f"kind {number % kinds}",
            verdict=Verdict(
                checks={
                    "solved": Check(strict=each, soft=True),
                    "tool": Check.of(True),
                },
                measures={"recall": 0.5},
                due={"call": "read_file"},
                note="" if each else "The file was not changed.",
            ),
            stop="end_turn",
            tokens=20,
            seconds=seconds * (1 + number % 3),
            first_token_seconds=(seconds / 10,),
            messages=(Message(role="user", content="Do it."),),
            **other,
        )
        for number, each in enumerate(right)
    ]


def write_made_run(
    folder: Path, record: RunRecord, results: Sequence[Result], *, seconds: float = 20.0
) -> Path:
    """Write a run into a folder, complete."""
    folder.mkdir(parents=True, exist_ok=True)
    write_run(folder, ended_run(record, results, seconds, 1_500_000_000))
    lines = "".join(map(result_line, results))
    (folder / RESULTS).write_text(lines, encoding="utf-8")
    return folder


def suites(versions: Mapping[str, int], items: int = 4) -> tuple[SuiteRecord, ...]:
    """Return the suites of a record."""
    return tuple(
        SuiteRecord(name=name, version=version, items=items) for name, version in versions.items()
    )
