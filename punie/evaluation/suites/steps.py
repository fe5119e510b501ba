"""Items of several steps: what had to be seen, when, what is left and what is said."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from punie.evaluation.facts import states_all
from punie.evaluation.suite import Check, Item, Needs, Say, Verdict
from punie.evaluation.suites.judging import (
    OnlyThese,
    ended_well,
    has_shown,
    last_change,
    left,
    shown_after,
    why_not,
)
from punie.evaluation.suites.project import write_parcels
from punie.evaluation.suites.written import Change, Facts, Solution, WrittenItem
from punie.evaluation.work import Work

NEEDS = Needs(requests=24, tokens=2_048, seconds=300.0)


class StepsItem(WrittenItem):
    """What is written down of an item of several steps.

    Attributes:
        shown: what results of calls must have shown, before the last change if there is one.
        after: what results must have shown behind the last change.
        says: what the answer states.
        unsaid: what it must not state.
        change: how the project differs afterwards.
        solution: a right way to do it.
    """

    shown: Facts
    after: Facts = ()
    says: Facts
    unsaid: tuple[str, ...] = ()
    change: Change = Change()
    solution: Solution


@dataclass(frozen=True)
class Seen:
    """Whether work rests on what it looked at.

    `at_all` tells that everything had been shown by calls at some time, `in_order` that it was
    before the last change, and what had to be seen behind the change was seen there. What was never
    shown was guessed or remembered, and counts for nothing.
    """

    at_all: bool
    in_order: bool


def seen(work: Work, shown: Facts, after: Facts) -> Seen:
    """Tell whether everything was seen."""
    first = shown_after(work, shown)
    change = last_change(work)
    verified = not after or (change is not None and _shown_behind(work, after, change))
    at_all = first is not None and verified
    return Seen(at_all, at_all and (change is None or first is None or first <= change))


def _shown_behind(work: Work, texts: Facts, change: int) -> bool:
    behind = work.executed[change:]
    return all(any(has_shown(each, text) for each in behind) for text in texts)


@dataclass(frozen=True)
class Steps:
    """Judges work of several steps.

    `steps`: everything was seen in order, and no call failed; softly, at all.
    `solved`: it was seen in order, the files are as they should be and the answer states the facts;
    softly, in some order, and in other words or code of the same meaning.
    """

    shown: Facts
    after: Facts
    says: Facts
    unsaid: Sequence[str]
    files: dict[str, str]
    changed: Any

    async def __call__(self, work: Work, root: Path) -> Verdict:
        """Judge."""
        looked = seen(work, self.shown, self.after)
        state = left(work, self.files)
        states = states_all(work.answer, self.says, self.unsaid)
        smooth = all(each.ran and not each.failed for each in work.executed)
        steps = Check(strict=looked.in_order and smooth, soft=looked.at_all)
        solved = Check(
            strict=looked.in_order and state.strict and states.strict and ended_well(work),
            soft=looked.at_all and state.soft and states.soft,
        )
        return Verdict(
            checks={"steps": steps, "solved": solved},
            measures={"calls": len(work.executed)},
            due={
                "shown": list(self.shown),
                "after": list(self.after),
                "says": list(self.says),
                "changed": self.changed,
            },
            note=why_not(
                solved.strict,
                (bool(work.executed), "Nothing was called."),
                (looked.at_all, "Not everything was looked at that one has to know."),
                (looked.in_order, "It changed something before it had looked."),
                (state.strict, "The files are not as they should be."),
                (states.strict, "The answer does not state what was asked for."),
                (False, "It did not come to an answer."),
            ),
        )


def steps_judge(written: StepsItem, files: dict[str, str]) -> Steps:
    """Return the judge of what is written down; `files` are those when the last prompt is said."""
    return Steps(
        shown=written.shown,
        after=written.after,
        says=written.says,
        unsaid=written.unsaid,
        files=written.change.of(files),
        changed=written.change.model_dump(exclude_defaults=True),
    )


def steps_item(written: StepsItem) -> Item:
    """Return an item of what is written down."""
    return Item(
        name=written.name,
        kind=written.kind,
        actions=(Say(written.prompt),),
        prepare=partial(write_parcels, files=written.project),
        judge=steps_judge(written, written.project),
        unconfined=OnlyThese(written.solution.calls),
        needs=NEEDS,
    )
