"""A response on its way out of the engine, as pydantic-ai's stream."""

import uuid
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, assert_never

from pydantic_ai.messages import ModelResponseStreamEvent
from pydantic_ai.models import StreamedResponse
from pydantic_ai.usage import RequestUsage

from punie.models.mlx.chat_format import ChatFormat
from punie.models.mlx.generation import Decoded, Finished, Generation, Prefilled
from punie.models.mlx.messages import MALFORMED
from punie.models.mlx.parser import (
    AnswerText,
    MalformedCall,
    ParserEvent,
    ResponseParser,
    ThoughtText,
    ToolCall,
)

PROVIDER = "mlx"


@dataclass
class MlxStream(StreamedResponse):
    """One response on its way out of the engine."""

    generation: Generation
    chat_format: ChatFormat
    parser: ResponseParser
    stops: tuple[str, ...]
    name: str
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    _calls: int = field(default=0, init=False)

    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        decoder = self.chat_format.decoder()
        stops = _StopText(self.stops)
        async for event in self.generation:
            match event:
                case Prefilled():
                    pass
                case Decoded(tokens=tokens):
                    self._usage.output_tokens += len(tokens)
                    text = stops.feed(decoder.feed(tokens))
                    for part in self._handle(self.parser.feed(text)):
                        yield part
                    if stops.hit:
                        self.generation.cancel()  # and wait for the counts
                case Finished():
                    self._finish(event)
                case _:
                    assert_never(event)
        if self.cancelled:
            return
        if not stops.hit:
            rest = stops.feed(decoder.finish()) + stops.finish()
            for part in self._handle(self.parser.feed(rest)):
                yield part
        for part in self._handle(self.parser.finish()):
            yield part
        if self.finish_reason != "length":
            self.finish_reason = "tool_call" if self._calls else "stop"

    def _finish(self, end: Finished) -> None:
        self._usage = RequestUsage(
            input_tokens=end.prompt, cache_read_tokens=end.cached, output_tokens=end.output
        )
        self.finish_reason = "length" if end.reason == "length" else None

    def _handle(self, events: Iterable[ParserEvent]) -> Iterator[ModelResponseStreamEvent]:
        for event in events:
            match event:
                case AnswerText(text=text):
                    yield from self._parts_manager.handle_text_delta(
                        vendor_part_id=None, content=text
                    )
                case ThoughtText(text=text):
                    yield from self._parts_manager.handle_thinking_delta(
                        vendor_part_id=None, content=text
                    )
                case ToolCall(name=name, arguments=arguments):
                    yield self._tool_call(name, arguments)
                case MalformedCall(name=name, reason=reason, raw=raw):
                    # Not JSON, so validation fails and the model is told what it wrote and why
                    # it cannot be used.
                    yield self._tool_call(name or "unknown", f"{MALFORMED}: {reason}\n{raw}")
                case _:
                    assert_never(event)

    def _tool_call(self, name: str, arguments: dict[str, Any] | str) -> ModelResponseStreamEvent:
        self._calls += 1
        return self._parts_manager.handle_tool_call_part(
            vendor_part_id=None,
            tool_name=name,
            args=arguments,
            tool_call_id=f"call_{uuid.uuid4().hex}",
        )

    async def close_stream(self) -> None:
        """End the generation after the step that is running."""
        self.generation.cancel()

    @property
    def model_name(self) -> str:
        """The model's reference in the catalogue."""
        return self.name

    @property
    def provider_name(self) -> str:
        """The provider's name in messages."""
        return PROVIDER

    @property
    def provider_url(self) -> None:
        """None: there is no server."""

    @property
    def timestamp(self) -> datetime:
        """When the response was begun."""
        return self.created


class _StopText:
    """Cuts a stream of text at the first stop sequence; `hit` tells that one was found."""

    def __init__(self, sequences: tuple[str, ...]) -> None:
        self._sequences = tuple(sequence for sequence in sequences if sequence)
        self._held = ""
        self.hit = False

    def feed(self, text: str) -> str:
        if not self._sequences or self.hit:
            return "" if self.hit else text
        self._held += text
        found = [at for word in self._sequences if (at := self._held.find(word)) >= 0]
        if found:
            self.hit = True
            return self._held[: min(found)]
        longest = max(len(word) for word in self._sequences) - 1
        keep = next(
            (
                size
                for size in range(min(longest, len(self._held)), 0, -1)
                if any(word.startswith(self._held[-size:]) for word in self._sequences)
            ),
            0,
        )
        cut = len(self._held) - keep
        text, self._held = self._held[:cut], self._held[cut:]
        return text

    def finish(self) -> str:
        text, self._held = self._held, ""
        return text
