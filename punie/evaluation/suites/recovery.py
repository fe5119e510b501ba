"""Going on after an error: the obvious first call fails, and another way is right."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Self

from pydantic import model_validator

from punie.evaluation.suite import Check, Item, Say, Verdict, say_no_more
from punie.evaluation.suites.frozen import write_files
from punie.evaluation.suites.judging import OnlyThese, both, shown_after
from punie.evaluation.suites.listed import ListedSuite
from punie.evaluation.suites.project import write_parcels
from punie.evaluation.suites.steps import NEEDS, Steps, StepsItem, steps_judge
from punie.evaluation.suites.written import Change, Facts, Solution, written_items
from punie.evaluation.work import Executed, Work

_EXIT = re.compile(r"exit code (?!0\b)\d+")
_OUTCOMES = re.compile(r"\b\d+ (?:failed|errors?)\b")


class RecoveryItem(StepsItem):
    """An item; see the file of data."""

    avoids: Facts | None = None
    meanwhile: Change = Change()
    then: str = ""
    first: Solution | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if not bool(self.then) == bool(self.meanwhile) == (self.first is not None):
            raise ValueError("meanwhile, then and first go together")
        return self

    @property
    def later(self) -> dict[str, str]:
        """The project's files when the last prompt is said."""
        return self.meanwhile.of(self.project)


def met_error(executed: Executed) -> bool:
    """Tell whether a call ran into something: an error, a failing command, or failing tests."""
    if not executed.ran:
        return False
    match executed.call.name:
        case "run_command" | "command_output":
            return executed.failed or _EXIT.match(executed.result) is not None
        case "run_tests":
            return executed.failed or _OUTCOMES.search(executed.result) is not None
        case _:
            return executed.failed


def repeats_itself(executed: Sequence[Executed]) -> bool:
    """Tell whether a call that met an error was made again at once, unchanged."""
    return any(met_error(one) and one.call == other.call for one, other in pairwise(executed))


@dataclass(frozen=True)
class Recovery:
    """Judges how an error was got over.

    `recovered`: an error was met, or avoided by looking first, and no call that met one was made
    again at once, unchanged; softly, even so.
    `solved`: as in work of several steps, and recovered.
    """

    steps: Steps
    avoids: Facts

    async def __call__(self, work: Work, root: Path) -> Verdict:
        """Judge."""
        errors = [each for each in work.executed if met_error(each)]
        avoided = bool(self.avoids) and shown_after(work, self.avoids) is not None
        soft = bool(errors) or avoided
        recovered = Check(strict=soft and not repeats_itself(work.executed), soft=soft)
        base = await self.steps(work, root)
        solved = both(base.checks["solved"], Check.of(soft))
        note = base.note if base.note or soft else "No error was met or avoided."
        return Verdict(
            checks={"recovered": recovered, "solved": solved},
            measures={**base.measures, "errors": len(errors)},
            due=base.due,
            note=note,
        )


@dataclass(frozen=True)
class Meanwhile:
    """The person changes the project after the first answer, and says something else."""

    before: dict[str, str]
    later: dict[str, str]
    then: str

    async def __call__(self, work: Work, root: Path) -> Say | None:
        """Change the files once, and return what is said then."""
        if sum(message.role == "user" for message in work.messages) > 1:
            return None
        for path in set(self.before) - set(self.later):
            (root / path).unlink(missing_ok=True)
        changed = {path: text for path, text in self.later.items() if self.before.get(path) != text}
        write_files(root, changed)
        return Say(self.then)


def recovery_items() -> list[RecoveryItem]:
    """Return what is written down."""
    return written_items("recovery", RecoveryItem)


def _items() -> Sequence[Item]:
    return tuple(map(_item, recovery_items()))


def _item(written: RecoveryItem) -> Item:
    first = written.first.calls if written.first is not None else ()
    return Item(
        name=written.name,
        kind=written.kind,
        actions=(Say(written.prompt),),
        prepare=partial(write_parcels, files=written.project),
        judge=Recovery(
            steps=steps_judge(written, written.later),
            avoids=written.shown if written.avoids is None else written.avoids,
        ),
        more=Meanwhile(written.project, written.later, written.then)
        if written.then
        else say_no_more,
        unconfined=OnlyThese((*first, *written.solution.calls)),
        needs=NEEDS,
    )


RECOVERY = ListedSuite(
    name="recovery",
    version=2,
    about="Whether work goes on rightly where the obvious first call fails.",
    items=_items,
)
