"""Deciding rightly is to look where one has to look, and to answer where one knows."""

from pathlib import Path

import pytest

from punie.evaluation.suite import Check, Say, Verdict
from punie.evaluation.suites.catalog import SUITES
from punie.evaluation.suites.discrimination import DISCRIMINATION
from punie.evaluation.suites.project import parcels
from punie.evaluation.work import Work
from punie.tools.catalog import ALL_TOOLS
from tests.evaluation.suites.made_work import denied, failed, ran, work

pytestmark = pytest.mark.anyio

RIGHT, SOFT, WRONG = (
    Check.of(True),
    Check(strict=False, soft=True),
    Check.of(False),
)
PROTOCOLS = "tool/close/protocols"
GENERAL = "direct/close/protocols"
TIMEOUT = "tool/change/timeout"
FOUND = """parcels/storage.py:8:class Store(Protocol):
parcels/notify.py:8:class Notifier(Protocol):"""
ANSWER = "There are `Store` and `Notifier`."


async def judged(name: str, work: Work) -> Verdict:
    item = await DISCRIMINATION.item(name, Path())
    verdict = await item.judge(work, Path())
    assert bool(verdict.note) != verdict.checks["solved"].strict
    return verdict


async def test_both_kinds_are_balanced_and_about_tools_that_there_are() -> None:
    assert SUITES["discrimination"] is DISCRIMINATION
    names = DISCRIMINATION.names()
    items = [await DISCRIMINATION.item(name, Path()) for name in names]
    assert len(names) >= 200
    assert sum(name.startswith("tool/") for name in names) * 2 == len(names)
    assert sum("/diary/" in name for name in names) == 5
    prompts = [action.text for item in items for action in item.actions if isinstance(action, Say)]
    assert len(set(prompts)) == len(names)
    tools = {tool.name for tool in ALL_TOOLS}
    for item in items:
        assert set(getattr(item.judge, "first", ())) <= tools, item.name
        paths = getattr(item.judge, "changes", ())
        assert sum(path not in parcels().files for path in paths) <= 1, item.name


@pytest.mark.parametrize(
    ("done", "decided", "solved"),
    [
        (work(([ran("search", FOUND, pattern="Protocol")], ANSWER)), RIGHT, RIGHT),
        (work(([ran("search", FOUND)], "there are **store** and notifier")), RIGHT, SOFT),
        (work(([ran("run_command", FOUND)], ANSWER)), SOFT, SOFT),
        (work(([ran("search", FOUND)], "There is `Store`.")), RIGHT, WRONG),
        (work(([ran("search", FOUND)], "")), RIGHT, WRONG),
        (work(([ran("search", "no matches")], ANSWER)), RIGHT, WRONG),
        (work(([ran("search", FOUND * 30)], ANSWER + FOUND * 30)), RIGHT, SOFT),
        (work(([failed("search")], ANSWER)), RIGHT, WRONG),
        (work(([denied("search")], ANSWER)), WRONG, WRONG),
        (work(([], ANSWER)), WRONG, WRONG),
        (work(([ran("search", FOUND)], ANSWER), stop="max_tokens"), RIGHT, SOFT),
        (work(([ran("search", FOUND)], ANSWER), files={}), RIGHT, SOFT),
    ],
)
async def test_what_lies_here_has_to_be_looked_at(
    done: Work, decided: Check, solved: Check
) -> None:
    assert (await judged(PROTOCOLS, done)).checks == {"decided": decided, "solved": solved}


@pytest.mark.parametrize(
    ("done", "decided", "solved"),
    [
        (work(([], "An interface: any class with the methods fits.")), RIGHT, RIGHT),
        (work(([], "I do not know.")), RIGHT, WRONG),
        (work(([], "")), SOFT, WRONG),
        (work(([ran("search", FOUND)], "Any class with the methods fits.")), WRONG, WRONG),
        (work(([denied("search")], "Any class with the methods fits.")), WRONG, WRONG),
        (work(([], "Methods and methods and"), cut=True), SOFT, SOFT),
        (work(([], "Any class with the methods fits."), malformed=1), SOFT, SOFT),
    ],
)
async def test_what_one_knows_is_said_at_once(done: Work, decided: Check, solved: Check) -> None:
    assert (await judged(GENERAL, done)).checks == {"decided": decided, "solved": solved}


async def test_saying_that_something_was_changed_is_not_enough() -> None:
    files = parcels().files
    path = "parcels/config.py"
    changed = {**files, path: files[path].replace("= 12", "= 20")}
    calls = [ran("read_file", "TIMEOUT_SECONDS = 12"), ran("edit_file")]
    assert (await judged(TIMEOUT, work((calls, "Done."), files=changed))).checks["solved"] == RIGHT
    assert (await judged(TIMEOUT, work((calls, "Done.")))).checks["solved"] == WRONG
    more = {**changed, "README.md": ""}
    assert (await judged(TIMEOUT, work((calls, "Done."), files=more))).checks["solved"] == SOFT
