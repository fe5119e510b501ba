"""A version of a suite is frozen: whatever an item asks or how it is judged changes its hash."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from punie.evaluation.errors import EvaluationError
from punie.evaluation.suite import Check, Item, Needs, Say, Verdict, allow_everything, allow_nothing
from punie.evaluation.suites.frozen import write_files
from punie.evaluation.suites.listed import ListedSuite, fingerprint
from punie.evaluation.work import Work
from punie.tools.base import ToolLimits

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Judge:
    due: str

    async def __call__(self, work: Work, root: Path) -> Verdict:
        return Verdict(checks={"solved": Check.of(work.answer == self.due)})


def writes(text: str) -> Callable[[Path], None]:
    return lambda root: write_files(root, {"src/a.py": text})


ITEM = Item("read/000", "read", (Say("Read it"),), writes("x = 1\n"), Judge("1"))


def suite_of(*items: Item) -> ListedSuite:
    return ListedSuite("own", 1, "For a test.", lambda: items)


async def test_items_are_found_by_name(tmp_path: Path) -> None:
    suite = suite_of(ITEM, replace(ITEM, name="read/001"))
    assert suite.names() == ("read/000", "read/001")
    assert (await suite.item("read/001", tmp_path)).name == "read/001"
    with pytest.raises(EvaluationError, match="own has no item 'read/9'"):
        await suite.item("read/9", tmp_path)


@pytest.mark.parametrize(
    "changed",
    [
        replace(ITEM, name="read/001"),
        replace(ITEM, kind="look"),
        replace(ITEM, actions=(Say("Read it!"),)),
        replace(ITEM, prepare=writes("x = 2\n")),
        replace(ITEM, judge=Judge("2")),
        replace(ITEM, allows=allow_nothing),
        replace(ITEM, unconfined=allow_everything),
        replace(ITEM, limits=ToolLimits(result_chars=100)),
        replace(ITEM, mode="ask"),
        replace(ITEM, code=True),
        replace(ITEM, needs=Needs(requests=2)),
    ],
)
async def test_a_change_of_an_item_is_noticed(tmp_path: Path, changed: Item) -> None:
    same = await fingerprint(suite_of(ITEM), tmp_path)
    assert await fingerprint(suite_of(replace(ITEM)), tmp_path) == same
    assert await fingerprint(suite_of(changed), tmp_path) != same
    assert list(tmp_path.iterdir()) == []
