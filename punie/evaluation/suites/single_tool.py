"""One call: the right tool with the right arguments, and what comes of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from punie.evaluation.calls import is_exactly, means_same
from punie.evaluation.facts import states_all
from punie.evaluation.suite import Action, Check, Item, Needs, Say, Verdict
from punie.evaluation.suites.judging import (
    OnlyThese,
    ended_well,
    left,
    own,
    since_last_prompt,
    why_not,
)
from punie.evaluation.suites.listed import ListedSuite
from punie.evaluation.suites.project import write_parcels
from punie.evaluation.suites.written import Change, Facts, Written, WrittenItem, written_items
from punie.evaluation.work import Executed, Work
from punie.tools.ask_user import ASK_USER
from punie.tools.base import Answered, AnyTool, Question, ToolContext, ToolResult
from punie.tools.catalog import ALL_TOOLS
from punie.training.data.example import Function

_NEEDS = Needs(requests=12, tokens=1_024, seconds=180.0)
_TOOLS = {tool.name: tool for tool in ALL_TOOLS}


class Earlier(Written):
    """What is said before, and the call that it needs."""

    prompt: str
    call: Function


class SingleTool(WrittenItem):
    """An item; see the file of data."""

    call: Function
    also: tuple[dict[str, Any], ...] = ()
    says: Facts
    change: Change = Change()
    earlier: Earlier | None = None
    answers: str | None = None

    @property
    def right(self) -> tuple[Function, ...]:
        """All calls that are right."""
        others = (Function(name=self.call.name, arguments=each) for each in self.also)
        return (self.call, *others)


@dataclass(frozen=True)
class OneCall:
    """Judges one call.

    Before a call that changes something or runs something one may look; before one that looks,
    strictly not.

    `tool`: the first such call is of the right tool and ran; softly, one of that tool ran.
    `arguments`: its arguments are exactly right; softly, those of a call that came to a good end
    mean the same, or have changed the project as they should.
    `solved`: the right call came to a good end, the files are as they should be, and the answer
    states the facts; softly, in some other way and words, but by that tool.
    """

    right: Sequence[Function]
    says: Facts
    files: dict[str, str]
    changing: bool

    async def __call__(self, work: Work, root: Path) -> Verdict:
        """Judge."""
        name = self.right[0].name
        made = own(since_last_prompt(work))
        head = self._decisive(made)
        exact = head is not None and any(is_exactly(head.call, each) for each in self.right)
        of_tool = [each for each in made if each.call.name == name and each.ran]
        good = [each for each in of_tool if not each.failed]
        meant = [e for e in good if any(means_same(e.call, each) for each in self.right)]
        exactly = [e for e in good if any(is_exactly(e.call, each) for each in self.right)]
        state = left(work, self.files)
        states = states_all(work.answer, self.says)
        first = head is not None and head.ran and head.call.name == name
        tool = Check(strict=first, soft=bool(of_tool))
        arguments = Check(
            strict=first and exact,
            soft=(first and exact) or bool(meant) or (self.changing and bool(good) and state.soft),
        )
        solved = Check(
            strict=bool(exactly) and state.strict and states.strict and ended_well(work),
            soft=bool(good) and arguments.soft and state.soft and states.soft,
        )
        return Verdict(
            checks={"tool": tool, "arguments": arguments, "solved": solved},
            due={
                "call": self.right[0].model_dump(),
                "says": list(self.says),
                "changes": self.changing,
            },
            note=why_not(
                solved.strict,
                (tool.soft, f"{name} was not called, or did not run."),
                (bool(good), f"No call of {name} came to a good end."),
                (bool(exactly), f"{name} was called with other arguments."),
                (state.strict, "The files are not as they should be."),
                (states.strict, "The answer does not state what was asked for."),
                (False, "It did not come to an answer."),
            ),
        )

    def _decisive(self, made: Sequence[Executed]) -> Executed | None:
        if _looks(self.right[0]):
            return made[0] if made else None
        return next((each for each in made if not _looks(each.call)), None)


def _looks(call: Function) -> bool:
    tool = _TOOLS.get(call.name)
    if tool is None or call.name in ("ask_user", "update_plan"):
        return False
    return tool.effect == "read" or (tool.name == "lint" and not call.arguments.get("fix"))


def _answering(text: str) -> AnyTool:
    """Return `ask_user` as it is where a person answers so."""

    async def ask(question: Question) -> Answered:
        return Answered(text)

    async def run(context: ToolContext, arguments: Any) -> ToolResult:
        return await ASK_USER.run(replace(context, ask=ask), arguments)

    return replace(ASK_USER, run=run)


def single_tool_items() -> list[SingleTool]:
    """Return what is written down."""
    return written_items("single_tool", SingleTool)


def _items() -> Sequence[Item]:
    return tuple(map(_item, single_tool_items()))


def _item(written: SingleTool) -> Item:
    earlier = written.earlier
    actions: list[Action] = [Say(earlier.prompt)] if earlier is not None else []
    due = [*written.right, *([earlier.call] if earlier is not None else [])]
    tools = None
    if written.answers is not None:
        asking = _answering(written.answers)
        tools = tuple(asking if tool is ASK_USER else tool for tool in ALL_TOOLS)
    return Item(
        name=written.name,
        kind=written.kind,
        actions=(*actions, Say(written.prompt)),
        prepare=partial(write_parcels, files=written.project),
        judge=OneCall(
            right=written.right,
            says=written.says,
            files=written.change.of(written.project),
            changing=bool(written.change),
        ),
        unconfined=OnlyThese(tuple(due)),
        tools=tools,
        needs=_NEEDS,
    )


SINGLE_TOOL = ListedSuite(
    name="single-tool",
    version=2,
    about="Whether the right tool is called with the right arguments, for every tool there is.",
    items=_items,
)
