"""One generation, between the engine's thread and the event loop.

Tokens cross in batches: the thread appends to a list and wakes the loop only when it is not
already awake, and at most a hundred times a second, so that a fast model does not pay for a
future, an event and a message to the client with each token.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

import anyio

_WAKE_SECONDS = 0.01
"""A token that follows another one sooner than this waits for the next one, or the end."""


class EngineError(Exception):
    """A generation failed inside the engine; the message is one sentence."""


@dataclass(frozen=True)
class GenerateRequest:
    """What to generate: `tokens` is the whole prompt; temperature 0 takes the likeliest token."""

    tokens: tuple[int, ...]
    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    stop_ids: frozenset[int] = frozenset()
    seed: int | None = None


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
    """The end, with counts in tokens: `prompt` = `cached` + `prefilled` unless cancelled."""

    reason: Literal["stop", "length", "cancelled"]
    prompt: int
    cached: int
    prefilled: int
    output: int


EngineEvent = Prefilled | Decoded | Finished


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
        self._woken_for_token = 0.0
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
            if self._signalled:
                return
            if isinstance(event, int):
                now = time.monotonic()
                if now - self._woken_for_token < _WAKE_SECONDS:
                    return
                self._woken_for_token = now
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
