"""conversation: what was said turns ago is still known, also after compaction and a restart.

Each conversation ends in a change, and the files decide whether the model knew what was meant.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from punie.evaluation.suite import Action, Check, Compact, Item, Needs, Reload, Say, Verdict
from punie.evaluation.suites.frozen import Files, frozen, write_files
from punie.evaluation.suites.judging import both, changes, ended_well, left, since_last_prompt
from punie.evaluation.suites.listed import ListedSuite
from punie.evaluation.suites.written import Change, Written
from punie.evaluation.work import Work

_DATA = "data/conversation"
_NEEDS = Needs(requests=24, tokens=2_048, seconds=600.0)
_ACTIONS: Mapping[str, Action] = {"/compact": Compact(), "/reload": Reload()}


class Conversation(Written):
    """One conversation.

    Attributes:
        name: unique in the suite; what is before the slash is its kind.
        turns: what the person says, in order; "/compact" compacts the conversation and "/reload"
            stores and reopens the session.
        due: how the project differs in the end.
        waits: whether nothing may be changed before the last prompt.
    """

    name: str = Field(pattern=r"[a-z-]+/[a-z-]+")
    turns: tuple[str, ...]
    due: Change
    waits: bool = False

    @property
    def actions(self) -> tuple[Action, ...]:
        """What happens, in order."""
        return tuple(_ACTIONS.get(turn) or Say(turn) for turn in self.turns)


def project() -> Files:
    """Return the project of all conversations, by path."""
    files: Files = frozen(_DATA)["project"]
    return files


def conversations() -> Mapping[str, Conversation]:
    """Return all conversations by name, in order."""
    made = [Conversation.model_validate(each) for each in frozen(_DATA)["item"]]
    return {each.name: each for each in made}


@dataclass(frozen=True)
class FilesDecide:
    """Judges a conversation by the files that it left, and by when they were changed."""

    conversation: Conversation

    async def __call__(self, work: Work, root: Path) -> Verdict:
        """Compare the files with those that are due."""
        wanted = self.conversation.due.of(project())
        files = left(work, wanted)
        # Behind the last prompt a change was asked for; before it may have been forbidden.
        late = since_last_prompt(work) if work.messages else []
        early = work.executed[: len(work.executed) - len(late)]
        untouched = work.files_before in (None, {p: t.encode() for p, t in project().items()})
        waited = Check.of(untouched and not any(each.ran and changes(each) for each in early))
        solved = both(files, waited) if self.conversation.waits else files
        checks = {
            "files": files,
            "solved": Check(strict=solved.strict and ended_well(work), soft=solved.soft),
        }
        if self.conversation.waits:
            checks["waited"] = waited
        return Verdict(
            checks=checks,
            measures={
                "calls": float(len(work.calls)),
                "calls_of_last_turn": float(sum(not each.inner for each in late)),
            },
            due={
                path: wanted.get(path)
                for path in sorted({*wanted, *project()})
                if wanted.get(path) != project().get(path)
            },
            note=self._note(work, wanted, files, waited),
        )

    def _note(self, work: Work, wanted: Files, files: Check, waited: Check) -> str:
        if self.conversation.waits and not waited.soft:
            return "Files were changed before that was wanted."
        if files.strict:
            return "" if ended_well(work) else "The last turn did not come to an answer."
        found = {path: data.decode(errors="replace") for path, data in work.files.items()}
        wrong = [p for p in sorted({*found, *wanted}) if found.get(p) != wanted.get(p)]
        return f"Not as wanted: {', '.join(wrong)}."


def _write(root: Path) -> None:
    write_files(root, project())


def _items() -> Sequence[Item]:
    return tuple(
        Item(
            name=name,
            kind=name.partition("/")[0],
            actions=conversation.actions,
            prepare=_write,
            judge=FilesDecide(conversation),
            needs=_NEEDS,
        )
        for name, conversation in conversations().items()
    )


CONVERSATION = ListedSuite(
    name="conversation",
    version=2,
    about="What was said turns ago, also after the conversation was compacted or reopened.",
    items=_items,
)
