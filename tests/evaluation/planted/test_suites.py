"""Planted agents on every suite: each scores what it deserves, which for most is nothing."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from punie.evaluation.suite import Item, Suite
from punie.evaluation.suites.catalog import SUITES
from tests.evaluation.planted.agents import WRONG, oracle
from tests.evaluation.planted.solutions import SOLUTIONS
from tests.evaluation.planted.stage import verdict_of

pytestmark = pytest.mark.anyio

_MOST_ITEMS = 4


@pytest.mark.parametrize("agent", WRONG)
@pytest.mark.parametrize("suite", SUITES.values(), ids=str)
async def test_it_earns_nothing(suite: Suite, agent: str, tmp_path: Path) -> None:
    for item in await some_items(suite, tmp_path):
        verdict = await verdict_of(suite, item.name, WRONG[agent], tmp_path)
        solved = verdict.checks["solved"]
        assert (solved.strict, solved.soft) == (False, False), f"{item.name}: {verdict}"
        assert verdict.note


@pytest.mark.parametrize("name", SOLUTIONS)
async def test_who_does_it_rightly_has_full_marks(name: str, tmp_path: Path) -> None:
    suite = SUITES[name]
    for item in await some_items(suite, tmp_path):
        verdict = await verdict_of(suite, item.name, oracle, tmp_path)
        assert all(check.strict for check in verdict.checks.values()), f"{item.name}: {verdict}"
        assert not verdict.note


async def some_items(suite: Suite, folder: Path) -> Sequence[Item]:
    """Return one item of each of the first kinds."""
    found: dict[str, Item] = {}
    for name in suite.names():
        item = await suite.item(name, folder)
        found.setdefault(item.kind, item)
        if len(found) == _MOST_ITEMS:
            break
    return tuple(found.values())
