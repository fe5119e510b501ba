"""One call is right by its tool, its arguments and what comes of it."""

from pathlib import Path
from typing import Any

import pytest

from punie.evaluation.suite import Check, Verdict
from punie.evaluation.suites.catalog import SUITES
from punie.evaluation.suites.project import parcels
from punie.evaluation.suites.single_tool import SINGLE_TOOL, single_tool_items
from punie.evaluation.work import Executed, Work
from punie.tools.catalog import ALL_TOOLS
from punie.training.data.example import Function
from tests.evaluation.suites.made_work import denied, failed, ran, work
from tests.evaluation.suites.played import in_words, played

pytestmark = pytest.mark.anyio

RIGHT, SOFT, WRONG = (
    Check.of(True),
    Check(strict=False, soft=True),
    Check.of(False),
)
WRITTEN = {each.name: each for each in single_tool_items()}
SEARCH, EDIT, PATH = "search/text", "edit_file/constant", "parcels/config.py"
OLD, NEW = "RETRY_LIMIT = 4", "RETRY_LIMIT = 6"


async def judged(name: str, work: Work) -> tuple[Check, Check, Check]:
    item = await SINGLE_TOOL.item(name, Path())
    verdict: Verdict = await item.judge(work, Path())
    assert bool(verdict.note) != verdict.checks["solved"].strict
    return verdict.checks["tool"], verdict.checks["arguments"], verdict.checks["solved"]


def test_every_tool_has_three_items_or_more() -> None:
    assert SUITES["single-tool"] is SINGLE_TOOL
    kinds = [written.kind for written in WRITTEN.values()]
    assert {tool.name for tool in ALL_TOOLS} == set(kinds)
    assert min(map(kinds.count, kinds)) >= 3
    tools = {tool.name: tool for tool in ALL_TOOLS}
    for written in WRITTEN.values():
        assert written.call.name == written.kind
        for call in written.right:
            tools[call.name].arguments.model_validate(call.arguments)
        assert written.change.of(written.project) != written.project or not written.change


def find(**more: Any) -> Executed:
    return ran("search", "parcels/pricing.py:7:KILO_FEE = 0.65", pattern="KILO_FEE", **more)


@pytest.mark.parametrize(
    ("done", "due"),
    [
        (work(([find()], "In `parcels/pricing.py`.")), (RIGHT, RIGHT, RIGHT)),
        (work(([find(regex=None)], "In parcels/pricing.py")), (RIGHT, RIGHT, RIGHT)),
        (work(([find(path="./", regex=False)], "In parcels/pricing.py")), (RIGHT, SOFT, SOFT)),
        (work(([find(path="/project")], "In parcels/pricing.py")), (RIGHT, SOFT, SOFT)),
        (work(([find()], "in Parcels/Pricing.py")), (RIGHT, RIGHT, SOFT)),
        (work(([find()], "In parcels/prices.py")), (RIGHT, RIGHT, WRONG)),
        (work(([find()], "")), (RIGHT, RIGHT, WRONG)),
        (work(([find(path="tests")], "In parcels/pricing.py")), (RIGHT, WRONG, WRONG)),
        (work(([ran("list_dir"), find()], "In parcels/pricing.py")), (SOFT, SOFT, RIGHT)),
        (
            work(([failed("search", pattern="KILO_FEE")], "In parcels/pricing.py")),
            (RIGHT, RIGHT, WRONG),
        ),
        (
            work(([denied("search", pattern="KILO_FEE")], "In parcels/pricing.py")),
            (WRONG, WRONG, WRONG),
        ),
        (work(([ran("run_command", "parcels/pricing.py")], "In parcels/pricing.py")), (WRONG,) * 3),
        (work(([], "In parcels/pricing.py")), (WRONG,) * 3),
        (work(([find()], "In parcels/pricing.py"), files={}), (RIGHT, RIGHT, WRONG)),
    ],
)
async def test_a_call_that_looks(done: Work, due: tuple[Check, Check, Check]) -> None:
    assert await judged(SEARCH, done) == due


def edit(old: str = OLD, new: str = NEW) -> Executed:
    return ran("edit_file", path=PATH, edits=[{"old_text": old, "new_text": new}])


async def test_a_call_that_changes() -> None:
    files = parcels().files
    right = {**files, PATH: files[PATH].replace(OLD, NEW)}
    spaced = {**files, PATH: files[PATH].replace(OLD, "RETRY_LIMIT  =  6")}
    read = ran("read_file", OLD, path=PATH)
    told = "Done."
    assert await judged(EDIT, work(([read, edit()], told), files=right)) == (RIGHT,) * 3
    assert await judged(EDIT, work(([edit()], told), files=spaced)) == (RIGHT, RIGHT, SOFT)
    longer = edit(f"14\n{OLD}", f"14\n{NEW}")
    assert await judged(EDIT, work(([longer], told), files=right)) == (RIGHT, SOFT, SOFT)
    other = ran("write_file", path=PATH, content=right[PATH])
    assert await judged(EDIT, work(([other], told), files=right)) == (WRONG,) * 3
    assert await judged(EDIT, work(([read], told))) == (WRONG,) * 3
    assert await judged(EDIT, work(([edit()], told))) == (RIGHT, RIGHT, WRONG)
    assert await judged(EDIT, work(([longer], told))) == (RIGHT, WRONG, WRONG)


async def test_what_was_called_before_the_last_prompt_does_not_count() -> None:
    start = ran("run_command", "bg1 runs", command="sleep 300", background=True)
    stop = ran("command_output", "ended", id="bg1", stop=True)
    name = "command_output/stop"
    done = work(([start], "It runs."), ([stop], "It is stopped."))
    assert await judged(name, done) == (RIGHT,) * 3
    done = work(([start, stop], "It runs."), ([], "It is stopped."))
    assert await judged(name, done) == (WRONG,) * 3


@pytest.mark.parametrize(
    "name",
    ["read_file/range", "apply_patch/update", "add_import/merge", "update_plan/done"],
)
async def test_what_is_due_can_be_done(name: str, tmp_path: Path) -> None:
    written = WRITTEN[name]
    earlier = (written.earlier.call, "Good.") if written.earlier else ()
    item = await SINGLE_TOOL.item(name, tmp_path)
    says = (*earlier, written.call, in_words(written.says))
    _, verdict = await played(item, tmp_path, *says)
    assert set(verdict.checks.values()) == {RIGHT}, verdict.note


async def test_a_question_is_answered_as_it_is_written_down(tmp_path: Path) -> None:
    item = await SINGLE_TOOL.item("ask_user/choices", tmp_path)
    asked = Function(
        name="ask_user",
        arguments={"question": "which depot?", "choices": ["Lisboa", "Porto"]},
    )
    done, verdict = await played(item, tmp_path, asked, "You chose Porto.")
    assert done.executed[0].result == "the user answered: Porto"
    assert verdict.checks == {"tool": RIGHT, "arguments": SOFT, "solved": SOFT}
