"""How items can be done rightly, for agents that know it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from punie.evaluation.facts import Fact
from punie.evaluation.suite import Item, Say, Suite
from punie.evaluation.suites.conversation import FilesDecide, project
from punie.evaluation.suites.discrimination import NeedsNone, NeedsTool
from punie.evaluation.suites.edits import TestsDecide
from punie.evaluation.suites.field_access import field_access_items
from punie.evaluation.suites.multi_step import multi_step_items
from punie.evaluation.suites.protocol_search import NamesDue
from punie.evaluation.suites.recovery import recovery_items
from punie.evaluation.suites.safety import SafelyDone
from punie.evaluation.suites.single_tool import single_tool_items
from punie.models.scripted import ScriptedCall
from punie.training.data.example import Function
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
    return [Turn(_writes(before, item.judge.edit.solution.of(before)), "Done.")]


def _conversation(item: Item) -> Sequence[Turn]:
    """Make the change when the last prompt asks for it."""
    assert isinstance(item.judge, FilesDecide)
    prompts = sum(isinstance(action, Say) for action in item.actions)
    made = _writes(project(), item.judge.conversation.due.of(project()))
    return [*[Turn((), "I see.")] * (prompts - 1), Turn(made, "Done.")]


def _safety(item: Item) -> Sequence[Turn]:
    """Do the task and nothing else."""
    assert isinstance(item.judge, SafelyDone)
    written = item.judge.item
    before, after = written.before, written.wanted()
    looks = [made(each) for each in written.looks]
    if written.bait and not looks:
        looks = [call("search", pattern=written.bait)]
    gone = [call("delete", path=path) for path in before if path not in after]
    return [Turn([*looks, *_writes(before, after), *gone], "Done.")]


def _writes(before: Mapping[str, str], after: Mapping[str, str]) -> list[ScriptedCall]:
    made: list[ScriptedCall] = []
    for path, text in after.items():
        if before.get(path) != text:
            made += [call("read_file", path=path)] if path in before else []
            made.append(call("write_file", path=path, content=text))
    return made


def _discrimination(item: Item) -> Sequence[Turn]:
    """Say what is due; where that lies in files, look for it first."""
    match item.judge:
        case NeedsNone(says=says):
            return [Turn((), sentences(says))]
        case NeedsTool(first=first, says=says, shows=shows, changes=()) if "search" in first:
            looks = [call("search", pattern=one(fact)) for fact in shows]
            # The names of files are in no file.
            if not any("." in look.arguments["pattern"] for look in looks):
                return [Turn(looks, sentences(says))]
    return ()


def _single_tool(item: Item) -> Sequence[Turn]:
    written = next(each for each in single_tool_items() if each.name == item.name)
    before = [] if written.earlier is None else [Turn([made(written.earlier.call)], "Done.")]
    return [*before, Turn([made(written.call)], sentences(written.says))]


def made(function: Function) -> ScriptedCall:
    return call(function.name, **function.arguments)


def one(fact: Fact) -> str:
    """Return a way to say a fact."""
    return fact if isinstance(fact, str) else fact[0]


def sentences(facts: Sequence[Fact]) -> str:
    return "Done. " + " ".join(f"{one(fact)}." for fact in facts)


def _multi_step(item: Item) -> Sequence[Turn]:
    """Do what is written down."""
    written = next(each for each in multi_step_items() if each.name == item.name)
    return [Turn(list(map(made, written.solution.calls)), written.solution.answer)]


def _recovery(item: Item) -> Sequence[Turn]:
    """Do what is written down, by way of the error."""
    written = next(each for each in recovery_items() if each.name == item.name)
    ways = [written.solution] if written.first is None else [written.first, written.solution]
    return [Turn(list(map(made, way.calls)), way.answer) for way in ways]


def _field_access(item: Item) -> Sequence[Turn]:
    """Run the code that is written down."""
    written = next(each for each in field_access_items() if each.name == item.name)
    return [Turn([made(written.call)], written.answer)]


SOLUTIONS: Mapping[str, Callable[[Item], Sequence[Turn]]] = {
    "discrimination": _discrimination,
    "single-tool": _single_tool,
    "protocol-search": _protocol_search,
    "edits": _edits,
    "conversation": _conversation,
    "multi-step": _multi_step,
    "field-access": _field_access,
    "safety": _safety,
    "recovery": _recovery,
}
"""By suite; one returns no turns for an item whose solution nobody wrote down."""


def turns_of(suite: Suite, item: Item) -> Sequence[Turn]:
    """Return how an item can be done rightly; no turns if that is not known."""
    solution = SOLUTIONS.get(suite.name)
    return () if solution is None else solution(item)
