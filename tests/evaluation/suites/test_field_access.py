"""What code worked out from fields counts, not what was read off or known."""

from pathlib import Path

import pytest

from punie.evaluation.suite import Check
from punie.evaluation.suites.catalog import SUITES
from punie.evaluation.suites.field_access import FIELD_ACCESS, field_access_items
from punie.evaluation.work import Executed, Work
from punie.tools.catalog import ALL_TOOLS
from tests.evaluation.suites.made_work import failed, ran, work
from tests.evaluation.suites.played import played

pytestmark = pytest.mark.anyio

RIGHT, SOFT, WRONG = (
    Check.of(True),
    Check(strict=False, soft=True),
    Check.of(False),
)
WRITTEN = {each.name: each for each in field_access_items()}
WORST = "extreme/worst_file"
SAID = "parcels/legacy/export.py has 7."
BY_GET = 'from operator import itemgetter\nprint([p.get("path") for p in lint()])'


async def judged(name: str, work: Work) -> tuple[Check, Check, Check]:
    item = await FIELD_ACCESS.item(name, Path())
    assert item.code
    verdict = await item.judge(work, Path())
    assert bool(verdict.note) != verdict.checks["solved"].strict
    return verdict.checks["code"], verdict.checks["fields"], verdict.checks["solved"]


def test_items_are_about_functions_that_there_are() -> None:
    assert SUITES["field-access"] is FIELD_ACCESS
    assert len(WRITTEN) >= 20
    names = {tool.name for tool in ALL_TOOLS}
    for written in WRITTEN.values():
        assert {
            one for use in written.uses for one in ([use] if isinstance(use, str) else use)
        } <= names
        assert all(f'"{field}"' in written.code for field in written.fields), written.name


def code(result: str = "parcels/legacy/export.py 7", text: str = "") -> Executed:
    return ran("run_code", result, code=text or WRITTEN[WORST].code)


LINT = ran("lint", "parcels/legacy/export.py:3 F401", inner=True)


@pytest.mark.parametrize(
    ("done", "due"),
    [
        (work(([code(), LINT], SAID)), (RIGHT, RIGHT, RIGHT)),
        (work(([code(text=BY_GET), LINT], SAID)), (RIGHT, RIGHT, RIGHT)),
        (work(([code(), LINT], "Parcels/legacy/export.py, with seven")), (RIGHT, RIGHT, SOFT)),
        (work(([code("a long list of rows"), LINT], SAID)), (RIGHT, RIGHT, SOFT)),
        (work(([code(text="print(lint())"), LINT], SAID)), (RIGHT, SOFT, RIGHT)),
        (work(([failed("run_code"), code(), LINT], SAID)), (SOFT, RIGHT, RIGHT)),
        (work(([failed("run_code", code="lint()"), LINT], SAID)), (WRONG, WRONG, WRONG)),
        (work(([code(text='print("parcels/legacy/export.py 7")')], SAID)), (RIGHT, WRONG, WRONG)),
        (work(([code(), LINT], "parcels/legacy/importer.py has 7.")), (RIGHT, RIGHT, WRONG)),
        (work(([], SAID)), (WRONG, WRONG, WRONG)),
        (work(([ran("lint", "7")], SAID)), (WRONG, WRONG, WRONG)),
        (work(([code(), LINT], SAID), files={}), (RIGHT, RIGHT, WRONG)),
    ],
)
async def test_code_works_it_out(done: Work, due: tuple[Check, Check, Check]) -> None:
    assert await judged(WORST, done) == due


async def test_saying_that_it_was_written_is_not_enough() -> None:
    name = "write/rules"
    written = WRITTEN[name]
    calls = [code("created", written.code), LINT, ran("write_file", inner=True)]
    files = written.change.of(written.project)
    assert await judged(name, work((calls, "Done."), files=files)) == (RIGHT, RIGHT, RIGHT)
    assert await judged(name, work((calls, "Done."))) == (RIGHT, RIGHT, WRONG)


async def test_what_is_due_can_be_done(tmp_path: Path) -> None:
    written = WRITTEN[WORST]
    item = await FIELD_ACCESS.item(WORST, tmp_path)
    _, verdict = await played(item, tmp_path, written.call, written.answer)
    assert set(verdict.checks.values()) == {RIGHT}, verdict.note
