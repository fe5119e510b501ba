"""Rebuilds the model's own messages from turn events, and from nothing else."""

import itertools
from copy import copy
from dataclasses import dataclass, field, replace

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from punie.agent.events import (
    Compacted,
    TextDelta,
    ThoughtDelta,
    ToolFinished,
    ToolStarted,
    TurnEnded,
    TurnEvent,
    UserMessage,
)
from punie.agent.policy import CANCELLED

CLEARED = "(left out to save room; make the call again if you need its result)"
"""What the model reads in place of a result that a compaction cleared."""


@dataclass
class _OpenResponse:
    """A model response that may still grow, and the results of its calls so far."""

    message_id: str
    parts: list[ModelResponsePart] = field(default_factory=list)
    calls: list[ToolCallPart] = field(default_factory=list)
    results: dict[str, str] = field(default_factory=dict)

    def add_text(self, text: str) -> None:
        last = self.parts[-1] if self.parts else None
        if isinstance(last, TextPart):
            text = last.content + text
            self.parts.pop()
        self.parts.append(TextPart(content=text))

    def add_thought(self, text: str) -> None:
        last = self.parts[-1] if self.parts else None
        if isinstance(last, ThinkingPart):
            text = last.content + text
            self.parts.pop()
        self.parts.append(ThinkingPart(content=text))

    def messages(self) -> list[ModelMessage]:
        found: list[ModelMessage] = []
        if self.parts:
            found.append(ModelResponse(parts=list(self.parts)))
        if self.calls:
            # A turn that was killed may lack results; every call needs one to be valid history.
            found.append(
                ModelRequest(
                    parts=[
                        ToolReturnPart(
                            tool_name=call.tool_name,
                            content=self.results.get(call.tool_call_id, CANCELLED),
                            tool_call_id=call.tool_call_id,
                        )
                        for call in self.calls
                    ]
                )
            )
        return found


class HistoryBuilder:
    """Turns events, one by one, into the messages that the model has seen.

    Every user message, model response and set of tool results is one message. Calls without a
    result read `error: cancelled`; `Compacted` clears the results it names and drops the messages
    it counts. Refused turns and those of slash commands are left out whole. `prompt` is the message
    of the latest prompt to the model.
    """

    def __init__(self) -> None:
        self._messages: list[ModelMessage] = []
        self.prompt: ModelMessage | None = None
        self._open: _OpenResponse | None = None
        self._in_command = False

    def copy(self) -> "HistoryBuilder":
        """Return a builder that goes on from here by itself."""
        other = copy(self)
        other._messages = list(self._messages)
        return other

    def add(self, event: TurnEvent) -> None:
        """Take the next event; kinds that the model never sees are passed over."""
        if isinstance(event, UserMessage):
            self._close()
            self._in_command = event.command is not None
        if not self._in_command or isinstance(event, Compacted):
            self._take(event)

    def _take(self, event: TurnEvent) -> None:
        match event:
            case UserMessage():
                self.prompt = ModelRequest(parts=[UserPromptPart(content=event.text)])
                self._messages.append(self.prompt)
            case TextDelta():
                self._response(event.message_id).add_text(event.text)
            case ThoughtDelta():
                self._response(event.message_id).add_thought(event.text)
            case ToolStarted(parent=None):
                call = ToolCallPart(
                    tool_name=event.tool, args=dict(event.arguments), tool_call_id=event.call_id
                )
                response = self._response(event.message_id)
                response.parts.append(call)
                response.calls.append(call)
            case ToolFinished():
                if self._open is not None:
                    # Of the calls that code made too, which nobody asks for.
                    self._open.results[event.call_id] = event.result
            case Compacted():
                self._close()
                self._messages = clear_results(self._messages, frozenset(event.cleared))
                self._messages = drop_oldest(self._messages, event.dropped, keep=self.prompt)
            case TurnEnded():
                self._close()
                if event.stop_reason == "refusal":
                    # The protocol's rule: the prompt and all after it are not sent again.
                    self._messages = _before(self._messages, self.prompt)
                    self.prompt = None
            case _:
                pass

    def messages(self) -> list[ModelMessage]:
        """Return the messages so far, oldest first."""
        pending = self._open.messages() if self._open is not None else []
        return [*self._messages, *pending]

    def _response(self, message_id: str) -> _OpenResponse:
        if self._open is None or self._open.message_id != message_id:
            self._close()
            self._open = _OpenResponse(message_id)
        return self._open

    def _close(self) -> None:
        if self._open is not None:
            self._messages.extend(self._open.messages())
            self._open = None


def _before(messages: list[ModelMessage], prompt: ModelMessage | None) -> list[ModelMessage]:
    return list(itertools.takewhile(lambda message: message is not prompt, messages))


def clear_results(messages: list[ModelMessage], calls: frozenset[str]) -> list[ModelMessage]:
    """Return the messages with a short remark in place of the results of these calls."""

    def cleared(part: ModelRequestPart) -> ModelRequestPart:
        if isinstance(part, ToolReturnPart) and part.tool_call_id in calls:
            return ToolReturnPart(
                tool_name=part.tool_name, content=CLEARED, tool_call_id=part.tool_call_id
            )
        return part

    def lightened(message: ModelMessage) -> ModelMessage:
        if isinstance(message, ModelRequest) and any(
            cleared(part) is not part for part in message.parts
        ):
            return replace(message, parts=[cleared(part) for part in message.parts])
        return message

    return [lightened(message) for message in messages] if calls else messages


def drop_oldest(
    messages: list[ModelMessage], count: int, *, keep: ModelMessage | None
) -> list[ModelMessage]:
    """Return the messages without the `count` oldest; `keep` stays and is not counted."""
    left: list[ModelMessage] = []
    for message in messages:
        if count > 0 and message is not keep:
            count -= 1
        else:
            left.append(message)
    return left
