"""A stored session becomes the updates that show it again, as it looked at its end."""

from collections.abc import Iterator, Sequence

from punie.acp.translate import SessionUpdate, Translator, call_replayed, user_chunk
from punie.agent.events import (
    TextDelta,
    ThoughtDelta,
    ToolFinished,
    ToolProgress,
    ToolRunning,
    ToolStarted,
    TurnEvent,
    UsageChanged,
    UserMessage,
)

_CHUNK = 64_000


def replay_updates(
    events: Sequence[TurnEvent], *, running: bool = False
) -> Iterator[SessionUpdate]:
    """Yield the updates in the order of the conversation.

    Pieces of one message come joined, a call comes once with its end, and of the usage only the
    latest matters. `running` tells that the last turn still goes on.
    """
    ends = {event.call_id: event for event in events if isinstance(event, ToolFinished)}
    usage: UsageChanged | None = None
    translator = Translator()
    for event in _joined(events):
        match event:
            case UserMessage():
                for block in event.blocks:
                    yield user_chunk(block, event.message_id)
            case ToolStarted():
                yield call_replayed(event, ends.get(event.call_id), running=running)
            case UsageChanged():
                usage = event
            case ToolRunning() | ToolProgress() | ToolFinished():
                pass
            case _:
                yield from translator.updates(event)
    if usage is not None:
        yield from translator.updates(usage)


def _joined(events: Sequence[TurnEvent]) -> Iterator[TurnEvent]:
    held: TextDelta | ThoughtDelta | None = None
    pieces: list[str] = []
    size = 0
    for event in events:
        if (
            held is not None
            and type(event) is type(held)
            and isinstance(event, TextDelta | ThoughtDelta)
            and event.message_id == held.message_id
            and size < _CHUNK
        ):
            pieces.append(event.text)
            size += len(event.text)
            continue
        if held is not None:
            yield held.model_copy(update={"text": "".join(pieces)})
            held = None
        if isinstance(event, TextDelta | ThoughtDelta):
            held, pieces, size = event, [event.text], len(event.text)
        else:
            yield event
    if held is not None:
        yield held.model_copy(update={"text": "".join(pieces)})
