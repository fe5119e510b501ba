"""Which turns of a session the user accepted, told from its events alone."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from punie.agent.events import (
    Notice,
    PermissionAnswered,
    PromptLink,
    PromptResource,
    ResponseCut,
    TextDelta,
    ToolFinished,
    ToolRunning,
    ToolStarted,
    TurnEnded,
    TurnEvent,
    UserMessage,
)
from punie.agent.permissions.named_files import secret_files_named
from punie.tools.base import AnyTool
from punie.tools.catalog import ALL_TOOLS
from punie.training.data.privacy import texts_in
from punie.workspace.secret_files import is_secret_path

_LONGEST_PATH = 400
_EDITING = frozenset(tool.name for tool in ALL_TOOLS if tool.effect == "edit")


@dataclass
class Turn:
    """A prompt and all events up to the next one."""

    message: UserMessage
    events: list[TurnEvent] = field(default_factory=list)

    @property
    def id(self) -> str:
        """The id under which checkpoints know the turn."""
        return self.message.message_id

    @property
    def is_command(self) -> bool:
        """Whether it is a slash command, of which the model reads nothing."""
        return self.message.command is not None

    @property
    def calls(self) -> Iterator[ToolStarted]:
        """The calls that were made, those of running code too."""
        return (event for event in self.events if isinstance(event, ToolStarted))

    @property
    def has_open_calls(self) -> bool:
        """Whether a call has no result, as when the process was killed."""
        ended = {event.call_id for event in self.events if isinstance(event, ToolFinished)}
        return any(call.call_id not in ended for call in self.calls)


def turns_of(events: Iterable[TurnEvent]) -> list[Turn]:
    """Return the turns of a session; what stands before the first prompt belongs to none."""
    turns: list[Turn] = []
    for event in events:
        if isinstance(event, UserMessage):
            turns.append(Turn(event))
        if turns:
            turns[-1].events.append(event)
    return turns


def why_not_accepted(turn: Turn, tools: Mapping[str, AnyTool]) -> str | None:
    """Return in a few words why a turn does not count as accepted, None if it does.

    `tools` are those that the model is told of when it is served, by name.
    """
    ended = next((event for event in turn.events if isinstance(event, TurnEnded)), None)
    if ended is None:
        return "interrupted"
    if ended.stop_reason != "end_turn":
        return f"ended by {ended.stop_reason}"
    for event in turn.events:
        match event:
            case PermissionAnswered(allowed=False):
                return "a permission was denied"
            case Notice(severity="error"):
                return "ended with an error"
            case ResponseCut():
                return "the model repeated itself"
            case _:
                pass
    ran = {event.call_id for event in turn.events if isinstance(event, ToolRunning)}
    for call in turn.calls:
        if call.call_id not in ran:
            return "a call did not run"
        if call.parent is None and call.tool not in tools:
            return "calls a tool that is not Punie's own"
    return None if final_answer(turn.events) else "no answer"


def final_answer(events: Sequence[TurnEvent]) -> str:
    """Return what the model said after its last call."""
    last = max((n for n, event in enumerate(events) if isinstance(event, ToolStarted)), default=-1)
    return "".join(e.text for e in events[last + 1 :] if isinstance(e, TextDelta)).strip()


def edits_files(turn: Turn) -> bool:
    """Tell whether a turn used a tool that edits, and it did what it was to."""
    done = {
        event.call_id
        for event in turn.events
        if isinstance(event, ToolFinished) and event.status == "completed"
    }
    return any(call.call_id in done and call.tool in _EDITING for call in turn.calls)


def touches_secret_file(turn: Turn, root: Path) -> bool:
    """Tell whether a file that is likely to hold secrets was read, changed or attached."""
    for block in turn.message.blocks:
        if isinstance(block, PromptResource | PromptLink) and _is_secret_address(block.uri):
            return True
    ran = {event.call_id for event in turn.events if isinstance(event, ToolRunning)}
    if any(call.call_id in ran and _names_secret(call, root) for call in turn.calls):
        return True
    return any(
        is_secret_path(place.path)
        for event in turn.events
        if isinstance(event, ToolFinished) and event.status == "completed"
        for place in event.presentation.locations
    )


def _is_secret_address(uri: str) -> bool:
    return is_secret_path(unquote(urlsplit(uri).path))


def _names_secret(call: ToolStarted, root: Path) -> bool:
    runs = call.presentation.kind == "execute"
    for text in texts_in(call.arguments):
        if runs and secret_files_named(text, root):
            return True
        if len(text) <= _LONGEST_PATH and "\n" not in text and is_secret_path(text.strip()):
            return True
    return False
