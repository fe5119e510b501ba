"""One response of a model, with the times at which the engine said what it did."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings

from punie.models.mlx.bench.rows import BenchError
from punie.models.mlx.engine import Engine
from punie.models.mlx.generation import (
    Decoded,
    EngineEvent,
    EngineEvents,
    Finished,
    GenerateRequest,
)
from punie.models.mlx.model import MlxModel
from punie.models.mlx.stream import MlxStream


@dataclass
class Answer:
    """A response; seconds count from the request.

    `first` is when the first tokens came and `first_tokens` how many they were, `last` is when
    everything was over. `end` has the engine's own counts.
    """

    response: ModelResponse
    first: float
    first_tokens: int
    last: float
    tokens: list[int]
    end: Finished

    @property
    def rate(self) -> float:
        """Tokens per second after the first ones."""
        return (len(self.tokens) - self.first_tokens) / (self.last - self.first)


@dataclass
class _Watch:
    """Stands between the engine and a response and notes what passes."""

    source: EngineEvents
    first: float = 0.0
    first_tokens: int = 0
    tokens: list[int] = field(default_factory=list)
    end: Finished | None = None

    def cancel(self) -> None:
        self.source.cancel()

    async def __aiter__(self) -> AsyncIterator[EngineEvent]:
        async for event in self.source:
            if isinstance(event, Decoded):
                if not self.first_tokens:
                    self.first = time.perf_counter()
                    self.first_tokens = len(event.tokens)
                self.tokens.extend(event.tokens)
            if isinstance(event, Finished):
                self.end = event
            yield event


async def ask(
    model: MlxModel,
    messages: list[ModelMessage],
    settings: ModelSettings,
    parameters: ModelRequestParameters,
) -> Answer:
    """Let the model answer, through all that a session's request goes through."""
    begin = time.perf_counter()
    async with model.request_stream(messages, settings, parameters) as stream:
        assert isinstance(stream, MlxStream)
        watch = _Watch(stream.generation)
        stream.generation = watch
        async for _ in stream:
            pass
        last = time.perf_counter()
        response = stream.get()
    if watch.end is None:
        raise BenchError("the response was cut off")
    first = watch.first - begin if watch.first_tokens else last - begin
    return Answer(response, first, watch.first_tokens, last - begin, watch.tokens, watch.end)


async def generate(engine: Engine, request: GenerateRequest) -> tuple[list[int], Finished]:
    """Return the tokens of a response, and its end."""
    tokens: list[int] = []
    async with engine.generate(request) as generation:
        async for event in generation:
            if isinstance(event, Decoded):
                tokens.extend(event.tokens)
            elif isinstance(event, Finished):
                return tokens, event
    raise BenchError("the engine ended in the middle of a response")


@contextmanager
def endless(model: MlxModel) -> Iterator[None]:
    """Let the model write on where it would end its turn; all its sessions are concerned."""
    stops = model.chat_format.stop_ids
    model.chat_format.stop_ids = frozenset()
    try:
        yield
    finally:
        model.chat_format.stop_ids = stops
