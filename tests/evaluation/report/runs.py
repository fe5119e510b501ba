"""Run folders as `punie eval` leaves them, made by hand."""

from collections.abc import Sequence
from datetime import UTC, datetime
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
from punie.training.data.example import Function, Message, ToolCall

BEGUN = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def result(
    item: str, solved: bool, *, suite: str = "reading", soft: bool | None = None, **more: Any
) -> Result:
    """Return a result in which one file was read."""
    check = Check(strict=solved, soft=solved if soft is None else soft)
    note = "" if solved else "The wrong file was read."
    verdict = Verdict(
        checks={"solved": check, "tool": Check.of(True)},
        measures={"recall": 0.5 + solved / 2},
        due={"tool": "read_file", "path": "due.py"},
        note=note,
    )
    call = ToolCall(function=Function(name="read_file", arguments={"path": f"{item}.py"}))
    messages = (
        Message(role="user", content=f"What is in {item}?"),
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content="x = 1\n"),
        Message(role="assistant", content=f"The answer for {item}."),
    )
    given: dict[str, Any] = {
        "suite": suite,
        "item": item,
        "kind": "short",
        "verdict": verdict,
        "stop": "end_turn",
        "requests": 2,
        "tokens": 40,
        "read_tokens": 100,
        "seconds": 2.0,
        "first_token_seconds": (0.25, 0.1),
        "messages": messages,
    }
    return Result(**{**given, **more})


def run_folder(
    folder: Path,
    results: Sequence[Result],
    *,
    versions: dict[str, int] | None = None,
    options: dict[str, Any] | None = None,
    reference: str = "some-model",
) -> Path:
    """Write the folder of a run with these results, and return it."""
    folder.mkdir()
    (folder / RESULTS).write_text("".join(map(result_line, results)), encoding="utf-8")
    suites = {each.suite: 0 for each in results}
    for each in {(each.suite, each.item) for each in results}:
        suites[each[0]] += 1
    record = RunRecord(
        id=f"20260102-0304-{folder.name}",
        model=ModelRecord(reference=reference, weights="0" * 64, quantisation="none"),
        machine=MachineRecord(
            system="Linux x86_64", processor="A <processor>", cores=2, memory=8 << 30
        ),
        suites=tuple(
            SuiteRecord(name=name, version=(versions or {}).get(name, 1), items=items)
            for name, items in suites.items()
        ),
        options=options if options is not None else {"temperature": 0.0, "seeds": [1]},
        punie="1.2.3",
        revision="abcdef",
        started=BEGUN,
    )
    write_run(folder, ended_run(record, results, 12.0, 3 << 30))
    return folder
