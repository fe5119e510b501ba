"""The accepted turns of one session as examples, with the messages as the model was served them."""

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from punie.agent.events import Compacted, TurnEvent
from punie.agent.history import HistoryBuilder
from punie.agent.turn_config import turn_tools, web_tools
from punie.sessions.store import SessionRecord
from punie.settings import Settings
from punie.tools.base import AnyTool
from punie.training.data.accepted import (
    Turn,
    edits_files,
    touches_secret_file,
    turns_of,
    why_not_accepted,
)
from punie.training.data.example import Example, Message, PromptPrefix
from punie.training.data.kept_edits import edits_kept
from punie.training.data.prefixes import prompt_prefix
from punie.training.data.privacy import Privacy, privacy_of, texts_in
from punie.training.data.served import served_messages
from punie.training.data.validation import PrefixRules, example_faults
from punie.training.hashing import value_hash
from punie.workspace.checkpoints.journal import ChangedTurn
from punie.workspace.checkpoints.recorder import Recorder
from punie.workspace.local import LocalWorkspace

_RUN_CODE = "run_code"


class FromSessionsOptions(BaseModel):
    """Which turns are taken.

    Attributes:
        include: folders; only sessions in them or below count. Empty takes all.
        exclude: folders whose sessions are left out, also if they are included.
        since: only sessions that were used at that time or later; None takes all.
        least_characters: how much the model has to have said or called in what is learned.
        kept_only: take only what changed files and was kept, as files or a commit tell.
        without: ids of turns that are never taken, nor anything that comes after them.
        known_kept: ids of turns whose changes of files were found kept at an earlier look.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    include: tuple[Path, ...] = ()
    exclude: tuple[Path, ...] = ()
    since: datetime | None = None
    least_characters: int = Field(default=1, ge=1)
    kept_only: bool = False
    without: tuple[str, ...] = ()
    known_kept: tuple[str, ...] = ()


class Origin(BaseModel):
    """Of what an example was made.

    Attributes:
        session: id of the session.
        folder: its working directory.
        used: when the session was used last.
        turns: ids of the turns that are learned.
        context: ids of the turns that may stand before them, to be read.
    """

    model_config = ConfigDict(frozen=True)

    session: str
    folder: str
    used: datetime
    turns: tuple[str, ...]
    context: tuple[str, ...] = ()


@dataclass
class Collected:
    """What was found: the examples with their prompt prefixes, and what was left out and why.

    `kept` has the turns whose changes of files are still there, with the time of each turn in
    seconds since 1970.
    """

    examples: dict[str, Example] = field(default_factory=dict)
    prefixes: dict[str, PromptPrefix] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    kept: dict[str, float] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)


def forget_privacy() -> None:
    """Look for secrets again: files that hold them may have changed."""
    _privacy.cache_clear()


@dataclass(frozen=True)
class _Taken:
    """A turn that is part of what is being taken."""

    id: str
    edits: bool
    kept: bool | None


class SessionExamples:
    """Takes the accepted turns of one session."""

    def __init__(
        self,
        record: SessionRecord,
        settings: Settings,
        options: FromSessionsOptions,
        found: Collected,
    ) -> None:
        self._record = record
        self._options = options
        self._found = found
        self._settings = settings
        self._kept = Recorder(settings.checkpoints_folder(record.id))
        self._cwd = Path(record.cwd)
        roots = [self._cwd, *map(Path, record.meta.get("additional_directories", []))]
        self._privacy: Privacy = _privacy(tuple(roots))
        self._workspace = LocalWorkspace(roots)
        self._history = HistoryBuilder()
        self._start: int | None = None
        """How many messages are context of what is being taken; None while nothing is."""
        self._taken: list[_Taken] = []
        self._seen: list[str] = []

    async def take(self, events: Sequence[TurnEvent]) -> None:
        """Add what the session gives to what was found."""
        said = (event.model_dump(mode="json") for event in events)
        self._privacy = self._privacy.knowing(text for event in said for text in texts_in(event))
        try:
            changed = {turn.id: turn for turn in self._kept.journal.turns()}
        except OSError:
            changed = {}
        for turn in turns_of(events):
            if turn.id in self._options.without:
                self._drop("deleted, or after what was deleted")
                break
            if touches_secret_file(turn, self._cwd):
                self._drop("a secret file was part of it, or of what came before")
                break
            if turn.has_open_calls:
                self._drop("interrupted")
                break  # What the model read of its calls later is made up.
            if turn.is_command:
                self._follow(turn)
                continue
            await self._take_turn(turn, changed.get(turn.id))
            self._seen.append(turn.id)
        self._close()
        await self._workspace.aclose()

    async def _take_turn(self, turn: Turn, changed: ChangedTurn | None) -> None:
        tools = _tools(self._settings, turn)
        reason = why_not_accepted(turn, tools)
        kept: bool | None = None
        edits = changed is not None or edits_files(turn)
        if reason is None and changed is not None:
            if any(change.undone for change in changed.changes):
                reason = "undone"
            else:
                kept = await edits_kept(changed, self._kept.blobs, self._workspace)
                if kept:
                    self._found.kept[turn.id] = changed.at
                elif turn.id in self._options.known_kept:
                    kept = True
                reason = "the edits were not kept" if kept is False else None
        if reason is None and self._options.kept_only and not kept:
            reason = "nothing shows that it was kept"
        reason = reason or self._fault_of_written(turn)
        if reason is not None:
            self._drop(reason)
            self._follow(turn)
            return
        if self._start is None:
            self._start = len(self._messages())
        self._taken.append(_Taken(turn.id, edits, kept))
        self._follow(turn)

    def _fault_of_written(self, turn: Turn) -> str | None:
        """Return what is wrong with what the model wrote in a turn, as it would be learned."""
        builder = self._history.copy()
        before = len(self._messages())
        for event in turn.events:
            builder.add(event)
        new = served_messages(builder.messages())[before:]
        written = [message for message in new if message.role == "assistant"]
        if any(self._privacy.has_secret(message.model_dump()) for message in written):
            return "the model wrote a secret"  # It would learn to write masks.
        rules = _rules(_prefix(self._settings, written))
        calls = (call.function for message in written for call in message.tool_calls)
        if any(rules.fault_of(call) is not None for call in calls):
            return "a call had to be repaired"
        return None

    def _follow(self, turn: Turn) -> None:
        for event in turn.events:
            if isinstance(event, Compacted) and self._start is not None:
                # What was served before and after it differs: two conversations.
                going_on = [] if turn.is_command else self._taken[-1:]
                self._close()
                self._history.add(event)
                self._start, self._taken = len(self._messages()), going_on
            else:
                self._history.add(event)

    def _drop(self, reason: str) -> None:
        self._close()
        self._found.dropped[reason] += 1

    def _messages(self) -> list[Message]:
        return served_messages(self._history.messages())

    def _close(self) -> None:
        """Make an example of what was taken since the last time, if there is anything."""
        start, taken = self._start, self._taken
        self._start, self._taken = None, []
        if start is None:
            return
        messages = self._messages()
        while len(messages) > start and messages[-1].role != "assistant":
            messages.pop()
        learned = [m for m in messages[start:] if m.role == "assistant"]
        if not learned:
            return
        if sum(map(_length, learned)) < self._options.least_characters:
            self._found.dropped["too short"] += 1
            return
        self._add(messages, start, taken)

    def _add(
        self,
        messages: Sequence[Message],
        start: int,
        taken: Sequence[_Taken],
    ) -> None:
        found = self._found
        prefix = _prefix(self._settings, messages[start:])
        masked = [_masked(self._privacy, message) for message in messages]
        kept = [turn.kept for turn in taken if turn.edits]
        example = Example(
            messages=tuple(masked),
            context=start,
            prefix=prefix.id,
            task="session",
            project=_project(self._cwd, self._privacy),
            source="session",
            executed=True,
            checked="person" if kept and all(kept) else "",
        )
        fault = next(example_faults(example, _rules(prefix)), None)
        if example.id in found.examples:
            found.dropped["the same as another"] += 1
        elif fault is not None:
            found.dropped["a call or message that cannot be learned as it stands"] += 1
        else:
            found.examples[example.id] = example
            found.prefixes[prefix.id] = prefix
            turns = tuple(turn.id for turn in taken)
            found.origins[example.id] = Origin(
                session=self._record.id,
                folder=self._record.cwd,
                used=self._record.updated,
                turns=turns,
                context=tuple(turn for turn in self._seen if turn not in turns),
            )


@functools.lru_cache(maxsize=64)
def _privacy(roots: tuple[Path, ...]) -> Privacy:
    return privacy_of(roots)


@functools.lru_cache(maxsize=8)
def _rules_by_id(prefix: str) -> PrefixRules:
    return PrefixRules(PromptPrefix.model_validate_json(prefix))


def _rules(prefix: PromptPrefix) -> PrefixRules:
    return _rules_by_id(prefix.model_dump_json())


def _tools(settings: Settings, turn: Turn) -> Mapping[str, AnyTool]:
    """Return the tools that the model is told of when a turn like this one is served."""
    code_mode = any(call.parent is None and call.tool == _RUN_CODE for call in turn.calls)
    return _served_tools(settings, code_mode=code_mode)


def _served_tools(settings: Settings, *, code_mode: bool) -> dict[str, AnyTool]:
    tools = turn_tools(web_tools(settings), attended=True, code_mode=code_mode)
    return {tool.name: tool for tool in tools}


def _prefix(settings: Settings, messages: Sequence[Message]) -> PromptPrefix:
    called = {call.function.name for message in messages for call in message.tool_calls}
    tools = _served_tools(settings, code_mode=_RUN_CODE in called)
    return prompt_prefix([*tools.values()])


def _masked(privacy: Privacy, message: Message) -> Message:
    return Message.model_validate(privacy.value(message.model_dump(mode="json")))


def _length(message: Message) -> int:
    return len(message.content) + sum(
        len(str(call.function.arguments)) for call in message.tool_calls
    )


def _project(cwd: Path, privacy: Privacy) -> str:
    """Return a name for a project that is the same for all its sessions."""
    name = Path(privacy.without_person(str(cwd))).name
    return f"{name}-{value_hash(str(cwd))[:8]}"
