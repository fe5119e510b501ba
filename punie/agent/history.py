"""Rebuilds the model's own messages from turn events, and from nothing else."""

import itertools
from collections.abc import Callable, Mapping
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
    GuideAdded,
    ResponseCut,
    TextDelta,
    ThoughtDelta,
    ToolFinished,
    ToolStarted,
    TurnEnded,
    TurnEvent,
    UsageChanged,
    UserMessage,
)
from punie.agent.policy import CANCELLED

CLEARED = "(left out to save room; make the call again if you need its result)"
"""What the model reads in place of a result that a compaction cleared."""

SUMMARY_HEAD = "(The conversation before this was removed to make room. "
"""How the message begins that a compaction puts in place of what it dropped."""

_CUT = "\n(cut at {} of {} characters to save room; ask for a smaller part if you need more)"


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

    def drop(self, length: int) -> None:
        """Take so many characters off the end of the text or thought that came last."""
        last = self.parts[-1] if self.parts else None
        if isinstance(last, TextPart | ThinkingPart) and length > 0:
            self.parts[-1] = replace(last, content=last.content[:-length])

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
    result read `error: cancelled`; `Compacted` cuts and clears the results it names, drops the
    messages it counts and begins with its summary. Refused turns and those of slash commands are
    left out whole. `prompt` is the message of the latest prompt to the model, `usage` what its
    window held after the latest request.
    """

    def __init__(self) -> None:
        self._messages: list[ModelMessage] = []
        self.prompt: ModelMessage | None = None
        self.usage: UsageChanged | None = None
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
        if isinstance(event, UsageChanged):
            self.usage = event
        if not self._in_command or isinstance(event, Compacted):
            self._take(event)

    def _take(self, event: TurnEvent) -> None:
        match event:
            case UserMessage():
                self.prompt = ModelRequest(parts=[UserPromptPart(content=event.text)])
                self._messages.append(self.prompt)
            case GuideAdded():
                self._put_before_prompt(event.text)
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
                self._compact(event)
            case ResponseCut():
                self._cut(event)
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

    def _put_before_prompt(self, text: str) -> None:
        prompt = self.prompt
        if prompt is None or not self._messages or self._messages[-1] is not prompt:
            return
        (part,) = prompt.parts
        if isinstance(part, UserPromptPart):
            whole = UserPromptPart(content=f"{text}\n\n{part.content}")
            self.prompt = self._messages[-1] = ModelRequest(parts=[whole])

    def _compact(self, event: Compacted) -> None:
        kept = self.prompt
        messages = cut_results(self._messages, event.cut)
        messages = clear_results(messages, frozenset(event.cleared))
        messages = drop_oldest(messages, event.dropped, keep=kept)
        if event.summary:
            summary = ModelRequest(parts=[UserPromptPart(content=event.summary)])
            messages = [summary, *messages]
        self._messages = messages

    def _cut(self, event: ResponseCut) -> None:
        self._response(event.message_id).drop(event.dropped)
        self._close()
        if event.reminder:
            self._messages.append(ModelRequest(parts=[UserPromptPart(content=event.reminder)]))

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
    return _with_results(messages, lambda call, text: CLEARED if call in calls else text)


def cut_results(messages: list[ModelMessage], cuts: Mapping[str, int]) -> list[ModelMessage]:
    """Return the messages with the results of these calls cut to so many characters."""

    def cut(call: str, text: str) -> str:
        most = cuts.get(call, len(text))
        return text if len(text) <= most else text[:most] + _CUT.format(most, len(text))

    return _with_results(messages, cut)


def _with_results(
    messages: list[ModelMessage], change: Callable[[str, str], str]
) -> list[ModelMessage]:
    """Return the messages with other texts in the results; what does not change is shared."""

    def changed(part: ModelRequestPart) -> ModelRequestPart:
        if not isinstance(part, ToolReturnPart):
            return part
        before = part.model_response_str()
        text = change(part.tool_call_id, before)
        if text == before:
            return part
        return ToolReturnPart(
            tool_name=part.tool_name, content=text, tool_call_id=part.tool_call_id
        )

    found: list[ModelMessage] = []
    for message in messages:
        if isinstance(message, ModelRequest):
            parts = [changed(part) for part in message.parts]
            same = all(a is b for a, b in zip(parts, message.parts, strict=True))
            found.append(message if same else replace(message, parts=parts))
        else:
            found.append(message)
    return found


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
