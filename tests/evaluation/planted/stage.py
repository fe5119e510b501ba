"""Lets planted agents do items of real suites."""

import shutil
from pathlib import Path

from punie.evaluation.session import project_files, work_on
from punie.evaluation.suite import Item, Say, Suite, Verdict
from punie.evaluation.work import Work
from punie.training.data.example import Message
from tests.evaluation.planted.agents import Habit, Known, Planted
from tests.evaluation.planted.solutions import turns_of


async def verdict_of(suite: Suite, name: str, habit: Habit, folder: Path) -> Verdict:
    """Let an agent do an item that it knows, and return how it is judged."""
    item = await suite.item(name, folder)
    model = Planted(habit)
    model.known = Known(await due_of(item, folder), turns_of(suite, item))
    root = folder / "project"
    root.mkdir()
    item.prepare(root)
    work = await work_on(item, model, root)
    assert not work.trouble, work.trouble
    found = await item.judge(work, root)
    for each in folder.iterdir():
        shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
    return found


async def due_of(item: Item, folder: Path) -> object:
    """Return what an item's judge calls due, by letting it judge that nothing was done."""
    root = folder / "untouched"
    root.mkdir()
    item.prepare(root)
    said = tuple(Message(role="user", content=a.text) for a in item.actions if isinstance(a, Say))
    nothing = Work(messages=said, files=project_files(root), stop="end_turn")
    due = (await item.judge(nothing, root)).due
    shutil.rmtree(root)
    return due
