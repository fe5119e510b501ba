"""One generation, between the engine's thread and the event loop.

Tokens cross in batches: when the consumer got some it rests, and takes what has come since. So a
fast model does not pay for an event and a message to the client with each token. The thread wakes
the loop only for what ends the rest, or when nothing has come during it: the loop that wakes takes
the interpreter's lock, for which the thread would have to wait before it can begin the next pass.
"""

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import anyio

from punie.models.mlx.decoding.sampling import Sampling

if TYPE_CHECKING:
    from punie.models.mlx.guidance.guide import Guide
    from punie.models.mlx.prefixes.entry import Kind

_REST_SECONDS = 0.01
"""How long tokens are collected before the consumer gets the next ones."""


class EngineError(Exception):
    """A generation failed inside the engine; the message is one sentence."""


FinishReason = Literal["stop", "length", "cancelled"]
Priority = Literal["watched", "background"]
"""Whether a person is waiting for the response; a watched one goes first where only one can."""


@dataclass(frozen=True)
class GenerateRequest:
    """What to generate: `tokens` is the whole prompt; with 0 `max_tokens` it is only read.

    `owner` names the session whose prompt it is, so that its keys and values are found again.
    `guide` steers the response. `speculate` allows drafts, which never change the result.
    """

    tokens: tuple[int, ...]
    max_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    stop_ids: frozenset[int] = frozenset()
    owner: str | None = None
    priority: Priority = "watched"
    guide: "Guide | None" = None
    checkpoints: tuple[tuple[int, "Kind"], ...] = ()
    """Positions in the prompt at which a later prompt may go on, and what kind of place it is."""
    speculate: bool = True


@dataclass(frozen=True)
class Prefilled:
    """Prompt tokens that are in the cache now, of how many."""

    done: int
    total: int


@dataclass(frozen=True)
class Decoded:
    """New tokens; the token that ended the turn is not among them."""

    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Finished:
    """The end, with counts in tokens: `prompt` = `cached` + `prefilled` unless cancelled.

    `passes` counts the runs of the model that wrote the `output`; fewer than tokens where drafts
    were right or the grammar left no choice.
    """

    reason: FinishReason
    prompt: int
    cached: int
    prefilled: int
    output: int
    passes: int = 0


EngineEvent = Prefilled | Decoded | Finished


class EngineEvents(Protocol):
    """The events of one response, for one consumer."""

    def cancel(self) -> None:
        """End the response after the step that is running."""

    def __aiter__(self) -> AsyncIterator[EngineEvent]:
        """Yield the events up to `Finished`; raise `EngineError`."""
        ...


class Generation:
    """A request under way; an asynchronous iterable of its events, for one consumer."""

    def __init__(self, request: GenerateRequest) -> None:
        self.request = request
        # anyio has no call into a loop that does not block the calling thread for an answer.
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._pending: list[int | Prefilled | Finished | EngineError] = []
        self._signalled = False
        self._resting = False  # the consumer will look by itself for tokens, and for these alone
        self._wake = anyio.Event()

    def is_cancelled(self) -> bool:
        """Whether nobody wants the rest any more; the engine looks between its steps."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """End the generation after the step that is running; from any thread."""
        self._cancelled.set()

    def post(self, event: int | Prefilled | Finished | EngineError) -> None:
        """Hand an event, or a token by its id, to the consumer; from the engine's thread."""
        with self._lock:
            self._pending.append(event)
            if self._signalled or (self._resting and isinstance(event, int)):
                return
            self._signalled = True
        try:
            self._loop.call_soon_threadsafe(self._on_signal)
        except RuntimeError:
            self._cancelled.set()  # the loop is closed

    def _on_signal(self) -> None:
        self._wake.set()

    async def __aiter__(self) -> AsyncIterator[EngineEvent]:
        while True:
            self._wake = anyio.Event()
            with self._lock:
                pending, self._pending = self._pending, []
                self._signalled = False
                self._resting = any(isinstance(event, int) for event in pending)
            if not pending:
                await self._wake.wait()
                continue
            tokens: list[int] = []
            for event in pending:
                if isinstance(event, int):
                    tokens.append(event)
                    continue
                if tokens:
                    yield Decoded(tuple(tokens))
                    tokens = []
                if isinstance(event, EngineError):
                    raise event
                yield event
                if isinstance(event, Finished):
                    return
            if tokens:
                yield Decoded(tuple(tokens))
            if self._resting:
                with anyio.move_on_after(_REST_SECONDS):
                    await self._wake.wait()
