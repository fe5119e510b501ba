"""A run of suites: its order, what it keeps, how it goes on, and what may go wrong at an item."""

import errno
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import ValidationError

from punie.evaluation.errors import EvaluationError
from punie.evaluation.kept import Kept
from punie.evaluation.results import RESULTS, Result, read_results
from punie.evaluation.run_options import RunOptions, plan
from punie.evaluation.run_record import read_run
from punie.evaluation.runner import run_suites
from punie.evaluation.suite import Check, Item, Needs, Say, Verdict
from punie.evaluation.suites.listed import ListedSuite
from punie.evaluation.work import Work
from punie.models.catalog import BUNDLED_ID
from punie.models.load import close_models
from punie.models.scripted import Script, ScriptedCall, ScriptedModel, ScriptedResponse
from punie.training.errors import TrainingError
from punie.training.progress import Interrupted, Progress

pytestmark = pytest.mark.anyio

ONE_BY_ONE = RunOptions(parallel=1)


def scripted(**response: object) -> ScriptedModel:
    script = {"responses": [response], "repeat": True}
    return ScriptedModel(Script.model_validate_json(json.dumps(script)))


async def solved(work: Work, root: Path) -> Verdict:
    return Verdict(checks={"solved": Check.of(work.answer == "Yes.")}, due="Yes.")


def prepare(root: Path) -> None:
    (root / "a.py").write_text("x = 1\n")


def items(count: int, **more: Any) -> list[Item]:
    usual = {"prepare": prepare, "judge": solved}
    return [
        Item(f"ask/{number:02}", "ask", (Say(f"Is it {number}?"),), **(usual | more))
        for number in range(count)
    ]


def suite(made: Sequence[Item], name: str = "asking", version: int = 1) -> ListedSuite:
    return ListedSuite(name, version, "Whether it says yes.", lambda: made)


def stop_after(done: int) -> tuple[Callable[[Progress], None], Callable[[], bool]]:
    seen: list[float] = []
    return lambda progress: seen.append(progress.done), lambda: bool(seen) and seen[-1] >= done


def alike(results: Sequence[Result]) -> list[dict[str, Any]]:
    return [result.trajectory for result in results]


async def test_results_come_in_order_with_the_record_of_the_run(tmp_path: Path) -> None:
    out = tmp_path / "run"
    model = scripted(text="Yes.")
    suites = [suite(items(5)), suite(items(2), "again")]
    results = await run_suites(model, suites, RunOptions(parallel=3), out)
    assert [(each.suite, each.item) for each in results] == [
        *(("asking", f"ask/{number:02}") for number in range(5)),
        ("again", "ask/00"),
        ("again", "ask/01"),
    ]
    assert all(each.solved.strict and not each.trouble for each in results)
    assert read_results(out / RESULTS) == results
    record = read_run(out)
    assert [(each.name, each.items) for each in record.suites] == [("asking", 5), ("again", 2)]
    assert record.ended is not None
    assert record.latency is not None
    assert record.latency.of == 7
    assert record.options["parallel"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    with pytest.raises(TrainingError, match="exists already"):
        await run_suites(model, suites, out=out)


async def test_a_run_that_was_stopped_goes_on(tmp_path: Path) -> None:
    out, made = tmp_path / "run", [suite(items(6))]
    report, stopped = stop_after(2)
    model = scripted(text="Yes.", delay=0.02)
    with pytest.raises(Interrupted, match=r"of 6 items; the same command"):
        await run_suites(model, made, ONE_BY_ONE, out, report, stopped)
    kept = tmp_path / ".run.unfinished" / RESULTS
    before = kept.read_text()
    kept.write_text(before + before.splitlines()[0][:40])
    seen: list[Progress] = []
    other = scripted(text="No.")
    results = await run_suites(other, made, RunOptions(parallel=4), out, seen.append)
    assert seen[0].done == before.count("\n") > 0
    assert [each.solved.strict for each in results].count(True) == seen[0].done
    assert read_run(out).seconds > 0


async def test_another_run_does_not_go_on_there(tmp_path: Path) -> None:
    out, made = tmp_path / "run", [suite(items(3))]
    report, stopped = stop_after(1)
    with pytest.raises(Interrupted):
        await run_suites(scripted(text="Yes."), made, ONE_BY_ONE, out, report, stopped)
    for suites, options in (
        (made, ONE_BY_ONE.model_copy(update={"max_tokens": 9})),
        ([suite(items(3), version=2)], ONE_BY_ONE),
    ):
        with pytest.raises(EvaluationError, match="unfinished run of another model"):
            await run_suites(scripted(text="Yes."), suites, options, out)
    assert len(await run_suites(scripted(text="Yes."), made, ONE_BY_ONE, out)) == 3


async def test_what_is_to_be_done(tmp_path: Path) -> None:
    made = [suite([*items(10), replace(items(1)[0], name="other/00")])]
    few = plan(made, RunOptions(limit=3))
    assert [each.item for each in few] == ["ask/00", "ask/03", "ask/07"]
    assert [each.item for each in plan(made, RunOptions(items=("other/*",)))] == ["other/00"]
    tries = plan(made, RunOptions(items=("ask/00",), temperature=1, seeds=(1, 2), attempts=2))
    assert [(each.seed, each.number) for each in tries] == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert len({each.sampling_seed for each in tries}) == 4
    with pytest.raises(EvaluationError, match="No item of asking is like none"):
        plan(made, RunOptions(items=("none",)))
    with pytest.raises(EvaluationError, match="named twice"):
        plan(made * 2, RunOptions())
    with pytest.raises(ValidationError, match="all the same"):
        RunOptions(seeds=(1, 2))


UNIT = """
import time
import unittest


class Sleeps(unittest.TestCase):
    def test(self):
        began = time.perf_counter()
        time.sleep(0.02)
        self.assertGreater(time.perf_counter(), began)
"""


async def test_the_python_of_commands_runs_tests_and_tells_no_time() -> None:
    def one_test(root: Path) -> None:
        (root / "test_a.py").write_text("import time\n\ndef test():\n    time.sleep(0.02)\n")
        (root / "test_b.py").write_text(UNIT)

    command = ScriptedCall(tool="run_command", arguments={"command": "python3 -m pytest -q"})
    own = ScriptedCall(tool="run_command", arguments={"command": "python3 -m unittest test_b.py"})
    responses = (
        ScriptedResponse(calls=(ScriptedCall(tool="run_tests"),)),
        ScriptedResponse(calls=(command,)),
        ScriptedResponse(calls=(own,)),
        ScriptedResponse(text="Yes."),
    )
    model = ScriptedModel(Script(responses=responses))
    (result,) = await run_suites(model, [suite(items(1, prepare=one_test))], ONE_BY_ONE)
    told = [message.content for message in result.messages if message.role == "tool"]
    assert told[0] == "2 passed"
    assert "2 passed in 0.00s" in told[1]
    assert "Ran 1 test in 0.000s" in told[2]


async def test_commands_do_not_read_results(tmp_path: Path) -> None:
    """Neither those of this run nor those of others, which say what is due."""
    other, out = tmp_path / "earlier", tmp_path / "now"
    other.mkdir()
    (other / "results.jsonl").write_text("what is due: zebra\n")
    look = f"cat {other}/*.jsonl; ls -d {tmp_path}/*; cat {tmp_path}/*/run.json"
    call = ScriptedCall(tool="run_command", arguments={"command": look})
    responses = (ScriptedResponse(calls=(call,)), ScriptedResponse(text="Yes."))
    model = ScriptedModel(Script(responses=responses))
    suites = [suite(items(1))]
    (result,) = await run_suites(model, suites, ONE_BY_ONE, out, hidden=(other,))
    (told,) = (message.content for message in result.messages if message.role == "tool")
    assert "earlier" in told
    assert "zebra" not in told
    assert '"machine"' not in told


async def test_an_item_that_hangs_or_cannot_be_judged_counts_as_failed() -> None:
    async def broken(work: Work, root: Path) -> Verdict:
        raise ValueError("no such\nthing")

    async def right(work: Work, root: Path) -> Verdict:
        return Verdict(checks={"solved": Check.of(True), "tool": Check.of(True)})

    hangs = replace(items(1)[0], name="hangs", needs=Needs(seconds=0.2), judge=right)
    judged = replace(items(1)[0], name="judged", judge=broken)
    model = scripted(text="Yes.", delay=0.06)
    results = await run_suites(model, [suite([hangs, judged, *items(1)])])
    hung, unjudged, fine = results
    assert (hung.solved.strict, hung.verdict.checks["tool"].strict) == (False, True)
    assert hung.trouble == hung.verdict.note == "It was not done after 0.2 seconds."
    assert unjudged.trouble == "It could not be judged: no such thing."
    assert fine.solved.strict


async def test_items_that_cannot_be_begun_are_named_and_tried_again(tmp_path: Path) -> None:
    there = tmp_path / "there"

    def prepared(root: Path) -> None:
        if not there.exists():
            raise EvaluationError("The checkout lacks it.")

    made = [suite([*items(2), replace(items(1)[0], name="gone", prepare=prepared)])]
    out = tmp_path / "run"
    with pytest.raises(EvaluationError, match=r"1 of 3 .*: asking gone: The checkout lacks it\."):
        await run_suites(scripted(text="Yes."), made, out=out)
    assert not out.exists()
    there.touch()
    seen: list[Progress] = []
    assert len(await run_suites(scripted(text="Yes."), made, out=out, report=seen.append)) == 3
    assert [each.done for each in seen] == [2, 3]


async def test_a_full_disk_names_the_item(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, out = [suite(items(3))], tmp_path / "run"
    add = Kept.add

    def full(kept: Kept, result: Result) -> None:
        if len(kept.results) == 1:
            raise OSError(errno.ENOSPC, "No space left on device", str(out))
        add(kept, result)

    with monkeypatch.context() as patched:
        patched.setattr(Kept, "add", full)
        with pytest.raises(EvaluationError, match=r"^asking ask/01: The disk is full"):
            await run_suites(scripted(text="Yes."), made, ONE_BY_ONE, out)
    assert len(await run_suites(scripted(text="Yes."), made, ONE_BY_ONE, out)) == 3


async def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="no model directory"):
        await run_suites(str(tmp_path / "none"), [suite(items(1))], out=tmp_path / "run")
    draft = RunOptions(draft_model=str(tmp_path / "none"))
    with pytest.raises(EvaluationError, match="no model directory"):
        await run_suites(BUNDLED_ID, [suite(items(1))], draft)


async def test_an_engine_that_fails_is_opened_again() -> None:
    """Its session is done anew; nothing of the failure is in the result."""
    closed: list[str] = []

    async def closing(work: Work, root: Path) -> Verdict:
        if not closed:
            closed.append(work.answer)
            await close_models()
        return Verdict(checks={"solved": Check.of(bool(work.answer))})

    made = [suite(items(3, judge=closing))]
    results = await run_suites(BUNDLED_ID, made, ONE_BY_ONE)
    assert closed
    assert [(each.trouble, each.solved.strict) for each in results] == [("", True)] * 3
    again = await run_suites(BUNDLED_ID, [suite(items(3, judge=closing))], ONE_BY_ONE)
    assert alike(again) == alike(results)


async def test_a_model_that_fails_at_one_item_goes_on_and_one_that_always_fails_ends_the_run(
    tmp_path: Path,
) -> None:
    model = scripted(text="Yes.")
    usual = model.request_stream
    broken = {"Is it 1?"}

    def fails_at_some(messages: Any, *rest: Any) -> Any:
        if any(each in str(messages) for each in broken):
            raise RuntimeError("out of order")
        return usual(messages, *rest)

    model.request_stream = fails_at_some  # type: ignore[method-assign, assignment]
    results = await run_suites(model, [suite(items(3))], ONE_BY_ONE)
    assert [each.trouble for each in results] == ["", "The model failed: out of order", ""]
    broken |= {f"Is it {number}?" for number in range(3, 12)}
    out = tmp_path / "run"
    with pytest.raises(EvaluationError, match=r"failed 5 times in a row.*out of order"):
        await run_suites(model, [suite(items(12))], ONE_BY_ONE, out)
    assert len(read_results(tmp_path / ".run.unfinished" / RESULTS)) == 3
    broken.clear()
    results = await run_suites(model, [suite(items(12))], ONE_BY_ONE, out)
    assert sum(each.solved.strict for each in results) == 11


async def test_two_runs_at_once_keep_apart() -> None:
    made = [suite(items(4))]
    found: list[list[Result]] = []

    async def run() -> None:
        found.append(await run_suites(scripted(text="Yes.", delay=0.01), made))

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        group.start_soon(run)
    assert alike(found[0]) == alike(found[1])
