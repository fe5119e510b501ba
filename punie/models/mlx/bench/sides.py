"""Two sides of a comparison: who is asked, and what is heard, with the times at the client."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import anyio
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
)
from pydantic_ai.models import ModelRequestParameters, StreamedResponse
from pydantic_ai.settings import ModelSettings

from punie.models.mlx.chat.messages import MALFORMED
from punie.models.mlx.model import MlxModel
from punie.models.streaming import ModelUse

Call = tuple[str, Any]
"""A tool's name and its arguments."""


@dataclass(frozen=True)
class Question:
    """What both sides are asked, greedily; `parameters` are tools and instructions.

    `owner` is the session that Punie takes it for. Without `speculate` Punie makes no drafts.
    """

    messages: Sequence[ModelMessage]
    max_tokens: int
    parameters: ModelRequestParameters = field(default_factory=ModelRequestParameters)
    owner: str = "bench"
    speculate: bool = True


@dataclass(frozen=True)
class Counts:
    """Tokens as a side reports them; `cached` is None where it does not tell."""

    prompt: int
    cached: int | None
    output: int

    @property
    def read(self) -> int | None:
        """Tokens of the prompt that the model had to read."""
        return None if self.cached is None else self.prompt - self.cached


@dataclass(frozen=True)
class Piece:
    """Something of an answer that came: of its text, of a thought, or of a call."""

    text: str
    kind: Literal["text", "thought", "call"] = "text"


@dataclass(frozen=True)
class End:
    """The end of an answer, with its calls; `counts` is None if the side reports none."""

    calls: tuple[Call, ...]
    counts: Counts | None


Event = Piece | End


class Side(Protocol):
    """Somebody who answers."""

    def answer(self, question: Question) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """Stream an answer up to its `End`; leaving the context cancels it.

        Raises `BenchError`.
        """
        ...


@dataclass(frozen=True)
class Heard:
    """An answer, with seconds from the question: `pieces` as they came, `seconds` for all of it."""

    pieces: tuple[tuple[float, Piece], ...]
    calls: tuple[Call, ...]
    counts: Counts | None
    seconds: float

    @property
    def first(self) -> float:
        """When its first token showed; a token that shows nothing comes with the end."""
        return self.pieces[0][0] if self.pieces else self.seconds

    @property
    def text(self) -> str:
        """What it says, without thoughts and calls."""
        return "".join(piece.text for _, piece in self.pieces if piece.kind == "text")


async def listen(side: Side, question: Question) -> Heard:
    """Hear an answer out."""
    begin = time.perf_counter()
    pieces: list[tuple[float, Piece]] = []
    end = End((), None)
    async with side.answer(question) as events:
        async for event in events:
            if isinstance(event, End):
                end = event
            else:
                pieces.append((time.perf_counter() - begin, event))
        seconds = time.perf_counter() - begin
    return Heard(tuple(pieces), end.calls, end.counts, seconds)


async def cut_off_writing(side: Side, question: Question) -> float:
    """Ask, and go away as soon as something of the answer is there; return when that was."""
    async with side.answer(question) as events:
        async for _ in events:
            break
        return time.perf_counter()


async def cut_off_reading(side: Side, question: Question, seconds: float) -> float:
    """Ask, and go away after some seconds; return when that was."""
    left = time.perf_counter() + seconds
    with anyio.move_on_after(seconds) as scope:
        await listen(side, question)
    return left if scope.cancelled_caught else time.perf_counter()


class Ours:
    """Punie's model in this process, as the agent asks it."""

    def __init__(self, model: MlxModel) -> None:
        self._model = model
        self._settings = ModelSettings(temperature=0.0)
        if False in model.chat_format.traits.thinking_levels:
            self._settings["thinking"] = False

    @asynccontextmanager
    async def answer(self, question: Question) -> AsyncGenerator[AsyncIterator[Event]]:
        """Stream an answer; see `Side`."""
        model = self._model.used_by(ModelUse(question.owner, speculate=question.speculate))
        settings = self._settings | ModelSettings(max_tokens=question.max_tokens)
        messages = list(question.messages)
        async with (
            model.request_stream(messages, settings, question.parameters) as stream,
            aclosing(_events(stream)) as events,
        ):
            yield events


async def _events(stream: StreamedResponse) -> AsyncGenerator[Event]:
    async for event in stream:
        piece = _piece(event)
        if piece is not None and piece.text:
            yield piece
    response, usage = stream.get(), stream.usage
    counts = Counts(usage.input_tokens, usage.cache_read_tokens, usage.output_tokens)
    yield End(calls_of(response), counts)


def _piece(event: ModelResponseStreamEvent) -> Piece | None:
    match event:
        case PartStartEvent(part=TextPart(content=text)):
            return Piece(text)
        case PartStartEvent(part=ThinkingPart(content=text)):
            return Piece(text, "thought")
        case PartStartEvent(part=ToolCallPart(tool_name=name)):
            return Piece(name, "call")
        case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
            return Piece(text)
        case PartDeltaEvent(delta=ThinkingPartDelta(content_delta=text)):
            return Piece(text or "", "thought")
        case PartDeltaEvent(delta=ToolCallPartDelta(args_delta=str(more))):
            return Piece(more, "call")
        case _:
            return None  # Ends of parts say nothing new.


def calls_of(response: ModelResponse) -> tuple[Call, ...]:
    """Return the calls of a response, without those that cannot be read, as when one is cut off."""
    return tuple(
        (part.tool_name, part.args_as_dict())
        for part in response.parts
        if isinstance(part, ToolCallPart) and MALFORMED not in (part.provider_details or {})
    )
