"""A response on its way out of the engine, as pydantic-ai's stream."""

import uuid
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import assert_never

from pydantic_ai.messages import ModelResponseStreamEvent
from pydantic_ai.models import StreamedResponse
from pydantic_ai.usage import RequestUsage

from punie.models.mlx.chat.messages import MALFORMED
from punie.models.mlx.chat.parser import (
    AnswerText,
    CallArguments,
    CallStarted,
    MalformedCall,
    ParserEvent,
    ResponseParser,
    ThoughtText,
    ToolCall,
)
from punie.models.mlx.chat.vocabulary import Piece
from punie.models.mlx.chat_format import ChatFormat
from punie.models.mlx.generation import Decoded, EngineEvents, Finished, Prefilled
from punie.models.streaming import Progress

PROVIDER = "mlx"


@dataclass
class MlxStream(StreamedResponse):
    """One response on its way out of the engine."""

    generation: EngineEvents
    chat_format: ChatFormat
    parser: ResponseParser
    stops: tuple[str, ...]
    name: str
    on_progress: Progress | None = None
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    _calls: int = field(default=0, init=False)
    _call_id: str | None = field(default=None, init=False)

    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        decoder = self.chat_format.decoder()
        stops = _StopText(self.stops)
        async for event in self.generation:
            match event:
                case Prefilled(done=done, total=total):
                    await self._tell(done, total)
                case Decoded(tokens=tokens):
                    self._usage.output_tokens += len(tokens)
                    pieces = stops.feed(decoder.feed(tokens))
                    for part in self._handle(self.parser.feed(pieces)):
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
            rest = [*stops.feed([decoder.finish()]), stops.finish()]
            for part in self._handle(self.parser.feed(rest)):
                yield part
        for part in self._handle(self.parser.finish()):
            yield part
        if self.finish_reason != "length":
            self.finish_reason = "tool_call" if self._calls else "stop"

    async def _tell(self, done: int, total: int) -> None:
        if self.on_progress is not None:
            await self.on_progress(done, total)

    def _finish(self, end: Finished) -> None:
        self._usage = RequestUsage(
            input_tokens=end.prompt, cache_read_tokens=end.cached, output_tokens=end.output
        )
        self.finish_reason = "length" if end.reason == "length" else None

    def _handle(self, events: Iterable[ParserEvent]) -> Iterator[ModelResponseStreamEvent]:
        manager = self._parts_manager
        for event in events:
            match event:
                case AnswerText(text=text):
                    yield from manager.handle_text_delta(vendor_part_id=None, content=text)
                case ThoughtText(text=text):
                    yield from manager.handle_thinking_delta(vendor_part_id=None, content=text)
                case CallStarted(name=name):
                    self._call_id = f"call_{uuid.uuid4().hex}"
                    yield from manager.handle_tool_call_delta_events(
                        vendor_part_id=self._call_id, tool_name=name, tool_call_id=self._call_id
                    )
                case CallArguments(json=more):
                    yield from manager.handle_tool_call_delta_events(
                        vendor_part_id=self._call_id, args=more
                    )
                case ToolCall():
                    self._calls += 1
                    self._call_id = None
                case MalformedCall():
                    yield from self._malformed(event)
                case _:
                    assert_never(event)

    def _malformed(self, event: MalformedCall) -> Iterator[ModelResponseStreamEvent]:
        """Put what the model wrote, and why it cannot be used, where the arguments belong.

        That is no JSON, so validation fails; the reason is in the part's details as well.
        """
        self._calls += 1
        begun, self._call_id = self._call_id, None
        call_id = begun or f"call_{uuid.uuid4().hex}"
        started = self._parts_manager.handle_tool_call_part(
            vendor_part_id=call_id,
            tool_name=event.name or "unknown",
            args=f"{MALFORMED}: {event.reason}\n{event.raw}",
            tool_call_id=call_id,
            provider_name=PROVIDER,
            provider_details={MALFORMED: event.reason},
        )
        if begun is None:
            yield started
        # Else it is known: started again it would be taken for a second call.

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
    """Cuts a stream at the first stop sequence; `hit` tells that one was found."""

    def __init__(self, sequences: tuple[str, ...]) -> None:
        self._sequences = tuple(sequence for sequence in sequences if sequence)
        self._held = ""
        self.hit = False

    def feed(self, pieces: Sequence[Piece]) -> list[Piece]:
        """Return the pieces up to a stop sequence, without what could be the start of one."""
        passed: list[Piece] = []
        for piece in pieces:
            if self.hit:
                break
            if isinstance(piece, str):
                passed.append(self._feed_text(piece))
                continue
            # A sequence does not go on behind a control token, but may be the name of one.
            passed.append(self.finish())
            self.hit = piece.literal in self._sequences
            if not self.hit:
                passed.append(piece)
        return passed

    def _feed_text(self, text: str) -> str:
        if not self._sequences:
            return text
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
        """Return what was held back."""
        text, self._held = self._held, ""
        return text
