"""A stored session becomes the updates that show it again, as it looked at its end."""

from collections.abc import Iterator, Sequence

from punie.acp.handshake import ClientProfile
from punie.acp.tool_calls import call_replayed
from punie.acp.translate import Translator, user_chunk
from punie.acp.updates import SessionUpdate
from punie.agent.events import (
    Notice,
    PlanChanged,
    TextDelta,
    ThoughtDelta,
    TitleChanged,
    ToolFinished,
    ToolProgress,
    ToolRunning,
    ToolStarted,
    TurnEvent,
    UsageChanged,
    UserMessage,
)

_MOST_PIECES = 500


def replay_updates(
    events: Sequence[TurnEvent], profile: ClientProfile, *, running: bool = False
) -> Iterator[SessionUpdate]:
    """Yield the updates in the order of the conversation.

    Pieces of one message come joined, a call comes once with its end, and of the usage only the
    latest matters, as of the plan and the title. `running` tells that the last turn still goes on.
    """
    ends = {event.call_id: event for event in events if isinstance(event, ToolFinished)}
    latest: dict[str, TurnEvent] = {}
    translator = Translator(profile)
    for position, event in _joined(events):
        match event:
            case UserMessage():
                for block in event.blocks:
                    yield user_chunk(block, event.message_id)
            case ToolStarted():
                yield call_replayed(event, ends.get(event.call_id), running=running)
            case UsageChanged() | PlanChanged() | TitleChanged():
                latest[event.kind] = event
            case ToolRunning() | ToolProgress() | ToolFinished():
                pass
            case Notice() if profile.notices:
                pass  # The protocol's notices are of the moment; they are not shown again.
            case _:
                yield from translator.updates(event, position)
    for event in latest.values():
        yield from translator.updates(event, 0)


def _joined(events: Sequence[TurnEvent]) -> Iterator[tuple[int, TurnEvent]]:
    """Yield the events with their numbers, the pieces of one message joined up to a size."""
    held: TextDelta | ThoughtDelta | None = None
    pieces: list[str] = []
    for position, event in enumerate(events, 1):
        if isinstance(event, TextDelta | ThoughtDelta):
            if held is not None and not _continues(held, event, pieces):
                yield 0, held.model_copy(update={"text": "".join(pieces)})
                held = None
            if held is None:
                held, pieces = event, []
            pieces.append(event.text)
            continue
        if held is not None:
            yield 0, held.model_copy(update={"text": "".join(pieces)})
            held = None
        yield position, event
    if held is not None:
        yield 0, held.model_copy(update={"text": "".join(pieces)})


def _continues(
    held: TextDelta | ThoughtDelta, event: TextDelta | ThoughtDelta, pieces: Sequence[str]
) -> bool:
    return (
        held.kind == event.kind
        and held.message_id == event.message_id
        and len(pieces) < _MOST_PIECES
    )
