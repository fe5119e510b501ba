"""Getting over an error counts if it was met or avoided, and the end is right."""

from pathlib import Path

import pytest

from punie.evaluation.suite import Check
from punie.evaluation.suites.catalog import SUITES
from punie.evaluation.suites.recovery import RECOVERY, met_error, recovery_items
from punie.evaluation.work import Executed, Work
from punie.training.data.example import Function
from tests.evaluation.suites.made_work import denied, failed, ran, work
from tests.evaluation.suites.played import played

pytestmark = pytest.mark.anyio

RIGHT, SOFT, WRONG = (
    Check.of(True),
    Check(strict=False, soft=True),
    Check.of(False),
)
WRITTEN = {each.name: each for each in recovery_items()}
TIMEOUT, TAKEN = "wrong_path/timeout", "refused/taken_name"
SAID = "I set it in parcels/config.py."


async def judged(name: str, work: Work) -> tuple[Check, Check]:
    item = await RECOVERY.item(name, Path())
    verdict = await item.judge(work, Path())
    assert bool(verdict.note) != verdict.checks["solved"].strict
    return verdict.checks["recovered"], verdict.checks["solved"]


def test_items_begin_with_an_error() -> None:
    assert SUITES["recovery"] is RECOVERY
    assert len(WRITTEN) >= 24
    for written in WRITTEN.values():
        assert len(written.solution.calls) >= 2
        assert written.shown or written.avoids


@pytest.mark.parametrize(
    ("call", "due"),
    [
        (failed("read_file"), True),
        (ran("read_file", "exit code 1"), False),
        (ran("run_command", "exit code 1\nno such file"), True),
        (ran("run_command", "exit code 127"), True),
        (ran("run_command", "exit code 0\n2 failed"), False),
        (ran("run_tests", "2 failed, 3 passed"), True),
        (ran("run_tests", "1 error"), True),
        (ran("run_tests", "3 passed"), False),
        (denied("read_file"), False),
    ],
)
def test_what_an_error_is(call: Executed, due: bool) -> None:
    assert met_error(call) == due


MISSED = failed("read_file", "error: there is no config/settings.py", path="config/settings.py")
FOUND = ran("search", "parcels/config.py:6:TIMEOUT_SECONDS = 12")
EDIT = ran("edit_file", "edited", path="parcels/config.py")


@pytest.mark.parametrize(
    ("calls", "answer", "due"),
    [
        ([MISSED, FOUND, EDIT], SAID, (RIGHT, RIGHT)),
        ([FOUND, EDIT], SAID, (RIGHT, RIGHT)),
        ([MISSED, MISSED, FOUND, EDIT], SAID, (SOFT, RIGHT)),
        ([MISSED, FOUND, EDIT], "Done.", (RIGHT, WRONG)),
        ([MISSED, EDIT], SAID, (RIGHT, WRONG)),
        ([EDIT], SAID, (WRONG, WRONG)),
        ([denied("read_file"), EDIT], SAID, (WRONG, WRONG)),
        ([], SAID, (WRONG, WRONG)),
    ],
)
async def test_the_way_on(calls: list[Executed], answer: str, due: tuple[Check, Check]) -> None:
    written = WRITTEN[TIMEOUT]
    files = written.change.of(written.project)
    assert await judged(TIMEOUT, work((calls, answer), files=files)) == due


async def test_giving_up_or_another_end_is_not_right() -> None:
    assert await judged(TIMEOUT, work(([MISSED, FOUND], SAID))) == (RIGHT, WRONG)
    new = {**WRITTEN[TIMEOUT].project, "config/settings.py": "TIMEOUT_SECONDS = 25\n"}
    wrote = ran("write_file", path="config/settings.py")
    assert await judged(TIMEOUT, work(([MISSED, FOUND, wrote], SAID), files=new)) == (RIGHT, WRONG)


async def test_an_error_can_be_avoided_by_looking_first() -> None:
    written = WRITTEN[TAKEN]
    files = written.change.of(written.project)
    move = ran("move", "moved", path="docs/pricing.md", to="docs/README.md")
    said = "It is docs/README.md."
    looked = ran("list_dir", "README.md\ndocs/")
    met = failed("move", "error: README.md is there")
    assert await judged(TAKEN, work(([looked, move], said), files=files)) == (RIGHT, RIGHT)
    assert await judged(TAKEN, work(([met, move], said), files=files)) == (RIGHT, RIGHT)
    assert await judged(TAKEN, work(([move], said), files=files)) == (WRONG, WRONG)


@pytest.mark.parametrize("name", ["stale_text/moved_file", "refused/full_folder"])
async def test_what_is_due_can_be_done(name: str, tmp_path: Path) -> None:
    written = WRITTEN[name]
    ways = [written.solution] if written.first is None else [written.first, written.solution]
    says: list[Function | str] = []
    for way in ways:
        says += [*way.calls, way.answer]
    item = await RECOVERY.item(name, tmp_path)
    _, verdict = await played(item, tmp_path, *says)
    assert set(verdict.checks.values()) == {RIGHT}, verdict.note
    assert verdict.measures["errors"] == 1
