"""Work of several steps counts if it rests on what was looked at, in order."""

from pathlib import Path

import pytest

from punie.evaluation.suite import Check
from punie.evaluation.suites.catalog import SUITES
from punie.evaluation.suites.multi_step import MULTI_STEP, multi_step_items
from punie.evaluation.work import Executed, Work
from tests.evaluation.suites.made_work import denied, failed, ran, work
from tests.evaluation.suites.played import played

pytestmark = pytest.mark.anyio

RIGHT, SOFT, WRONG = (
    Check.of(True),
    Check(strict=False, soft=True),
    Check.of(False),
)
WRITTEN = {each.name: each for each in multi_step_items()}
CITY, DEPOT, FIX = "follow/depot_city", "change/default_depot", "fix/discount"


async def judged(name: str, work: Work) -> tuple[Check, Check]:
    item = await MULTI_STEP.item(name, Path())
    verdict = await item.judge(work, Path())
    assert bool(verdict.note) != verdict.checks["solved"].strict
    return verdict.checks["steps"], verdict.checks["solved"]


def test_what_is_asked_for_cannot_be_known_from_the_prompt() -> None:
    assert SUITES["multi-step"] is MULTI_STEP
    assert len(WRITTEN) >= 24
    for written in WRITTEN.values():
        assert written.shown
        assert len(written.solution.calls) >= 2
        first = [text if isinstance(text, str) else text[0] for text in written.shown]
        assert any(text not in written.prompt for text in first), written.name
        assert bool(written.change) or not written.after


CONFIG = ran("search", 'parcels/config.py:7:DEFAULT_DEPOT = "LIS-07"')
CITIES = ran("search", 'parcels/depots.py:4:    "LIS-07": "Lisboa",')


@pytest.mark.parametrize(
    ("done", "due"),
    [
        (work(([CONFIG, CITIES], "In Lisboa.")), (RIGHT, RIGHT)),
        (work(([CITIES, CONFIG], "In **Lisboa**.")), (RIGHT, RIGHT)),
        (work(([failed("read_file"), CONFIG, CITIES], "In Lisboa.")), (SOFT, RIGHT)),
        (work(([CONFIG, CITIES], "In lisboa.")), (RIGHT, SOFT)),
        (work(([CONFIG, CITIES], "In Porto.")), (RIGHT, WRONG)),
        (work(([CITIES], "In Lisboa.")), (WRONG, WRONG)),
        (work(([CONFIG, denied("search")], "In Lisboa.")), (WRONG, WRONG)),
        (work(([], "In Lisboa.")), (WRONG, WRONG)),
        (work(([ran("search"), ran("read_file")], "In Lisboa.")), (WRONG, WRONG)),
        (work(([CONFIG, CITIES], "")), (RIGHT, WRONG)),
        (work(([CONFIG, CITIES], "In Lisboa."), stop="max_turn_requests"), (RIGHT, SOFT)),
        (work(([CONFIG, CITIES], "In Lisboa."), files={}), (RIGHT, WRONG)),
    ],
)
async def test_an_answer_counts_if_it_was_looked_up(done: Work, due: tuple[Check, Check]) -> None:
    assert await judged(CITY, done) == due


def edit(path: str = "parcels/config.py") -> Executed:
    return ran("edit_file", "edited", path=path)


async def test_a_change_counts_if_it_was_made_knowing() -> None:
    written = WRITTEN[DEPOT]
    files = written.change.of(written.project)
    gent = ran("read_file", '"GNT-11": "Gent",')
    told = "It is GNT-11."
    assert await judged(DEPOT, work(([gent, CONFIG, edit()], told), files=files)) == (RIGHT, RIGHT)
    assert await judged(DEPOT, work(([gent, edit(), CONFIG], told), files=files)) == (SOFT, SOFT)
    assert await judged(DEPOT, work(([edit()], told), files=files)) == (WRONG, WRONG)
    assert await judged(DEPOT, work(([gent, CONFIG], told))) == (RIGHT, WRONG)
    more = {**files, "extra.txt": ""}
    assert await judged(DEPOT, work(([gent, CONFIG, edit()], told), files=more)) == (RIGHT, WRONG)
    # Other layout, the same code.
    path = "parcels/config.py"
    same = {**files, path: files[path].replace('DEPOT = "', 'DEPOT  =  "')}
    assert await judged(DEPOT, work(([gent, CONFIG, edit()], told), files=same)) == (RIGHT, SOFT)


async def test_a_repair_counts_if_tests_showed_it() -> None:
    written = WRITTEN[FIX]
    files = written.change.of(written.project)
    before = ran("run_tests", "6 passed, 1 failed\nFAILED tests/test_pricing.py::test_discount")
    after = ran("run_tests", "7 passed")
    fix = edit("parcels/pricing.py")
    assert await judged(FIX, work(([before, fix, after], "Done."), files=files)) == (RIGHT, RIGHT)
    assert await judged(FIX, work(([before, fix], "Done."), files=files)) == (WRONG, WRONG)
    assert await judged(FIX, work(([before, after, fix], "7 passed"), files=files)) == (WRONG,) * 2


@pytest.mark.parametrize("name", ["change/version_of_changelog", "chain/field_to_url"])
async def test_what_is_due_can_be_done(name: str, tmp_path: Path) -> None:
    solution = WRITTEN[name].solution
    item = await MULTI_STEP.item(name, tmp_path)
    _, verdict = await played(item, tmp_path, *solution.calls, solution.answer)
    assert set(verdict.checks.values()) == {RIGHT}, verdict.note
    assert verdict.measures == {"calls": len(solution.calls)}
