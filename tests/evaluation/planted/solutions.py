"""How items can be done rightly, for agents that know it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from punie.evaluation.suite import Item, Suite
from punie.evaluation.suites.edits import TestsDecide
from punie.evaluation.suites.protocol_search import NamesDue
from punie.models.scripted import ScriptedCall
from tests.evaluation.planted.agents import Turn


def call(tool: str, **arguments: Any) -> ScriptedCall:
    return ScriptedCall(tool=tool, arguments=arguments)


def _protocol_search(item: Item) -> Sequence[Turn]:
    """Look for each name that is due, and give those."""
    assert isinstance(item.judge, NamesDue)
    due = item.judge.due
    looks = [call("search", pattern=name, path="harbor") for name in due]
    return [Turn(looks, "\n".join(f"- `{name}`" for name in due))]


def _edits(item: Item) -> Sequence[Turn]:
    """Write every file that the right change touches."""
    assert isinstance(item.judge, TestsDecide)
    before = item.judge.edit.files
    after = item.judge.edit.solution.of(before)
    made: list[ScriptedCall] = []
    for path, text in after.items():
        if before.get(path) != text:
            made += [call("read_file", path=path)] if path in before else []
            made.append(call("write_file", path=path, content=text))
    return [Turn(made, "Done.")]


SOLUTIONS: Mapping[str, Callable[[Item], Sequence[Turn]]] = {
    "protocol-search": _protocol_search,
    "edits": _edits,
}
"""By suite; one returns no turns for an item whose solution nobody wrote down."""


def turns_of(suite: Suite, item: Item) -> Sequence[Turn]:
    """Return how an item can be done rightly; no turns if that is not known."""
    solution = SOLUTIONS.get(suite.name)
    return () if solution is None else solution(item)
