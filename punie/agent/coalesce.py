"""Collects small pieces of text into larger ones, without holding any back for long."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio

Key = TypeVar("Key")


class Coalescer(Generic[Key]):
    """Joins pieces of the same key and hands them on every `interval` seconds, the first at once.

    `limit` characters are handed on without waiting. `flush` before anything that must come
    later than the text; `pump` has to run in a task group for as long as pieces are added.
    """

    def __init__(
        self,
        send: Callable[[Key, str], Awaitable[None]],
        *,
        interval: float,
        limit: int | None = None,
    ) -> None:
        self._send = send
        self._interval = interval
        self._limit = limit
        self._key: Key | None = None
        self._pieces: list[str] = []
        self._size = 0
        self._lock = anyio.Lock()
        self._wake = anyio.Event()

    async def add(self, key: Key, text: str) -> None:
        """Append `text`; a piece of another key is handed on first."""
        if not text:
            return
        if self._pieces and key != self._key:
            await self.flush()
        self._key = key
        self._pieces.append(text)
        self._size += len(text)
        if self._limit is not None and self._size >= self._limit:
            await self.flush()
        else:
            self._wake.set()

    async def flush(self) -> None:
        """Hand on what is there, and wait for a hand-over that is under way."""
        async with self._lock:
            if not self._pieces or self._key is None:
                return
            key, text = self._key, "".join(self._pieces)
            self._pieces.clear()
            self._size = 0
            await self._send(key, text)

    async def pump(self) -> None:
        """Flush in the background until cancelled."""
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            await self.flush()
            await anyio.sleep(self._interval)
