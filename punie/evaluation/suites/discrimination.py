"""Tool or direct answer: prompts that need a look at the project, and prompts that do not."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from punie.evaluation.facts import states_all
from punie.evaluation.suite import Check, Item, Needs, Say, Verdict
from punie.evaluation.suites.judging import changed_files, ended_well, why_not
from punie.evaluation.suites.listed import ListedSuite
from punie.evaluation.suites.project import parcels, write_parcels
from punie.evaluation.suites.seeing import shown
from punie.evaluation.suites.written import Facts, WrittenItem, written_items
from punie.evaluation.work import Work

_NEEDS = Needs(requests=12, tokens=1_024, seconds=180.0)


class ToolPrompt(WrittenItem):
    """A prompt that needs a tool; see the file of data."""

    first: tuple[str, ...]
    says: Facts
    shows: Facts | None = None
    changes: tuple[str, ...] = ()


class DirectPrompt(WrittenItem):
    """A prompt that needs none."""

    says: Facts


@dataclass(frozen=True)
class NeedsTool:
    """Judges a prompt that needs a tool.

    Decided rightly: one of the tools was called first and ran; softly, any call ran. Solved: beyond
    that, such a call came to a good end, calls showed the facts, the answer states them, and just
    those files differ that are to; softly, another call may have shown them, and some of those
    files differ. `shows` are the facts that a call must have shown.
    """

    first: Sequence[str]
    says: Facts
    shows: Facts
    changes: Sequence[str] = ()

    async def __call__(self, work: Work, root: Path) -> Verdict:
        """Judge."""
        ran = [each for each in work.executed if each.ran]
        head = work.executed[0] if work.executed else None
        first = head is not None and head.ran and head.call.name in self.first
        good = [each for each in ran if not each.failed]
        of_those = any(each.call.name in self.first for each in good)
        states = states_all(work.answer, self.says)
        changed = changed_files(work, parcels().files)
        right = changed == set(self.changes)
        seen = shown(work, self.shows)
        decided = Check(strict=first, soft=bool(ran))
        solved = Check(
            strict=first and of_those and seen and states.strict and right and ended_well(work),
            soft=bool(good)
            and seen
            and (of_those or bool(self.shows or self.changes))
            and states.soft
            and (bool(changed & set(self.changes)) or not self.changes),
        )
        return Verdict(
            checks={"decided": decided, "solved": solved},
            due={
                "first": list(self.first),
                "says": list(self.says),
                "changes": list(self.changes),
            },
            note=why_not(
                solved.strict,
                (bool(ran), "No tool was called, or none ran."),
                (first, f"It began with {head.call.name if head else 'nothing'}."),
                (of_those, "No call of the right tools came to a good end."),
                (ended_well(work), "It did not come to an answer."),
                (seen, "No call showed what was asked for."),
                (right, "Other files differ than those that should."),
                (states.strict, "The answer does not state what was asked for."),
            ),
        )


@dataclass(frozen=True)
class NeedsNone:
    """Judges a prompt that needs no tool.

    Decided rightly: there was no call, not even one that could not be read, and an answer; softly,
    no call. Solved: the answer states what belongs to it as well.
    """

    says: Facts

    async def __call__(self, work: Work, root: Path) -> Verdict:
        """Judge."""
        none = not work.calls and not work.executed
        states = states_all(work.answer, self.says)
        decided = Check(strict=none and not work.malformed and ended_well(work), soft=none)
        solved = Check(
            strict=decided.strict and states.soft, soft=none and bool(work.answer) and states.soft
        )
        return Verdict(
            checks={"decided": decided, "solved": solved},
            due={"first": [], "says": list(self.says)},
            note=why_not(
                solved.strict,
                (none, "It called a tool."),
                (decided.strict, "It did not come to an answer."),
                (states.soft, "The answer does not speak of what was asked."),
            ),
        )


def _items() -> Sequence[Item]:
    tools = [
        Item(
            name=f"tool/{each.name}",
            kind=f"{each.kind}, tool",
            actions=(Say(each.prompt),),
            prepare=write_parcels,
            judge=NeedsTool(
                each.first, each.says, each.says if each.shows is None else each.shows, each.changes
            ),
            needs=_NEEDS,
        )
        for each in written_items("discrimination", ToolPrompt, "tool")
    ]
    direct = [
        Item(
            name=f"direct/{each.name}",
            kind=f"{each.kind}, direct",
            actions=(Say(each.prompt),),
            prepare=write_parcels,
            judge=NeedsNone(each.says),
            needs=_NEEDS,
        )
        for each in written_items("discrimination", DirectPrompt, "direct")
    ]
    return (*tools, *direct)


DISCRIMINATION = ListedSuite(
    name="discrimination",
    version=2,
    about="Whether a prompt needs a tool: looking at what lies here, or answering at once.",
    items=_items,
)
