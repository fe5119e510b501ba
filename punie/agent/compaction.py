"""Making room on demand: what can leave the model's context with the least loss.

It goes in tiers. First results that were read again later, then the results of older turns; what
was said stays. Only when that is not enough do whole turns go, the oldest first. The latest turn
always stays as it is.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from punie.agent.budget import CHARS_PER_TOKEN, message_chars
from punie.agent.events import TurnEvent, UsageChanged
from punie.agent.history import CLEARED, HistoryBuilder, clear_results

KEPT_TURNS = 2
"""When there is nothing left to clear, this many of the latest turns stay."""

_LOOKS = frozenset({"read_file", "list_dir", "search"})
_WORTH_CLEARING = 200
# After compacting, the context fills about this share of the window if that can be had.
_TARGET = 0.5


@dataclass(frozen=True)
class Compaction:
    """What is to go: the results of `cleared` calls, then the `dropped` oldest messages.

    `repeated` and `old` count the cleared results by why they went, `turns` the dropped turns.
    `before` and `after` are tokens in the context, about; 0 where nothing is known of them.
    """

    cleared: tuple[str, ...] = ()
    dropped: int = 0
    repeated: int = 0
    old: int = 0
    turns: int = 0
    before: int = 0
    after: int = 0
    window: int = 0


def plan_compaction(events: Sequence[TurnEvent]) -> Compaction | None:
    """Work out what to leave out; None if there is nothing that could go."""
    builder = HistoryBuilder()
    usage = UsageChanged(context_tokens=0, context_size=0)
    for event in events:
        builder.add(event)
        if isinstance(event, UsageChanged):
            usage = event
    messages = builder.messages()
    turns = _turns(messages)
    if len(turns) < 2:
        return None
    older, latest = [message for turn in turns[:-1] for message in turn], turns[-1]
    repeated = _repeated(older, latest)
    old = [call for call in _results(older) if call not in repeated]
    cleared = (*repeated, *old)
    freed = _chars(messages) - _chars(clear_results(messages, frozenset(cleared)))
    after = max(usage.context_tokens - freed // CHARS_PER_TOKEN, 0)
    left = [_chars(clear_results(turn, frozenset(cleared))) for turn in turns]
    dropped_turns = 0
    if usage.context_size:
        target = usage.context_size * _TARGET
        while after > target and dropped_turns < len(turns) - 1:
            after = max(after - left[dropped_turns] // CHARS_PER_TOKEN, 0)
            dropped_turns += 1
    if not cleared and not dropped_turns:
        # It was asked for, so something goes if anything can.
        dropped_turns = max(len(turns) - KEPT_TURNS, 0)
        after = max(after - sum(left[:dropped_turns]) // CHARS_PER_TOKEN, 0)
        if not dropped_turns:
            return None
    dropped = [message for turn in turns[:dropped_turns] for message in turn]
    gone = set(_results(dropped, worth=0))
    return Compaction(
        cleared=tuple(call for call in cleared if call not in gone),
        dropped=len(dropped),
        repeated=sum(call not in gone for call in repeated),
        old=sum(call not in gone for call in old),
        turns=dropped_turns,
        before=usage.context_tokens,
        after=after,
        window=usage.context_size,
    )


def _turns(messages: Iterable[ModelMessage]) -> list[list[ModelMessage]]:
    """Return the messages by turn; each begins with its prompt, but perhaps for the first."""
    turns: list[list[ModelMessage]] = []
    for message in messages:
        begins = isinstance(message, ModelRequest) and any(
            isinstance(part, UserPromptPart) for part in message.parts
        )
        if begins or not turns:
            turns.append([])
        turns[-1].append(message)
    return turns


def _chars(messages: Iterable[ModelMessage]) -> int:
    return sum(message_chars(message) for message in messages)


def _results(messages: Iterable[ModelMessage], worth: int = _WORTH_CLEARING) -> list[str]:
    """Return the calls whose results take more than `worth` characters and were not cleared."""
    return [
        part.tool_call_id
        for message in messages
        for part in message.parts
        if isinstance(part, ToolReturnPart)
        and part.content != CLEARED
        and len(part.model_response_str()) > worth
    ]


def _repeated(older: Sequence[ModelMessage], latest: Sequence[ModelMessage]) -> list[str]:
    """Return the calls of older turns that were made again later with success, word for word."""
    parts = [part for message in (*older, *latest) for part in message.parts]
    failed = {
        part.tool_call_id
        for part in parts
        if isinstance(part, ToolReturnPart) and part.model_response_str().startswith("error:")
    }
    worth = set(_results(older))
    seen: set[tuple[str, str]] = set()
    found: list[str] = []
    for part in reversed(parts):
        if not isinstance(part, ToolCallPart) or part.tool_name not in _LOOKS:
            continue
        key = (part.tool_name, json.dumps(part.args_as_dict(), sort_keys=True))
        if key in seen and part.tool_call_id in worth:
            found.append(part.tool_call_id)
        if part.tool_call_id not in failed:
            seen.add(key)
    return found[::-1]
