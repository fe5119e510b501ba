"""Lets planted agents do items of real suites, by the real runner."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from punie.evaluation.results import Result
from punie.evaluation.runner import RunOptions, run_suites
from punie.evaluation.session import project_files
from punie.evaluation.suite import Item, Say, Suite, Verdict
from punie.evaluation.work import Work
from punie.training.data.example import Message
from tests.evaluation.planted.agents import Habit, Known, Planted, Turn
from tests.evaluation.planted.solutions import turns_of

_ONE_BY_ONE = RunOptions(parallel=1)


@dataclass(frozen=True)
class _Betrayed:
    """Some items of a suite, each told to the model before it begins."""

    suite: Suite
    chosen: Sequence[str]
    model: Planted
    solve: Callable[[Suite, Item], Sequence[Turn]]

    @property
    def name(self) -> str:
        return self.suite.name

    @property
    def version(self) -> int:
        return self.suite.version

    @property
    def about(self) -> str:
        return self.suite.about

    @property
    def left_out(self) -> str:
        return self.suite.left_out

    def names(self) -> Sequence[str]:
        return self.chosen

    async def item(self, name: str, folder: Path) -> Item:
        item = await self.suite.item(name, folder)
        self.model.known = Known(
            (await judged_untouched(item, folder)).due, self.solve(self.suite, item)
        )
        return item


async def results_of(
    suite: Suite,
    chosen: Sequence[str],
    habit: Habit,
    solve: Callable[[Suite, Item], Sequence[Turn]] = turns_of,
) -> list[Result]:
    """Let an agent do items that it knows, and return how each came out."""
    model = Planted(habit)
    results = await run_suites(model, [_Betrayed(suite, chosen, model, solve)], _ONE_BY_ONE)
    assert not [result.trouble for result in results if result.trouble]
    return results


async def judged_untouched(item: Item, folder: Path) -> Verdict:
    """Let an item's judge judge that nothing was done."""
    root = folder / "untouched" / "project"
    root.mkdir(parents=True)
    item.prepare(root)
    said = tuple(Message(role="user", content=a.text) for a in item.actions if isinstance(a, Say))
    nothing = Work(messages=said, files=project_files(root), stop="end_turn")
    verdict = await item.judge(nothing, root)
    shutil.rmtree(root.parent)
    return verdict
