"""The two ends of a network connection, as the protocol's transport uses them.

Both are bounded. A client that does not read is given up after a while, so that what is waiting
for it takes no memory; the others do not notice.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import anyio

LINE_LIMIT = 64 * 1024 * 1024
"""Bytes of one message of a client."""

_BACKLOG_LIMIT = 64 * 1024 * 1024
_PATIENCE_SECONDS = 30.0


class SocketInlet:
    """The way in: whoever reads the connection puts lines, the transport receives them."""

    def __init__(self) -> None:
        self._send, self._lines = anyio.create_memory_object_stream[bytes | None](16)

    async def put(self, line: bytes | None) -> None:
        """Hand a message on, None for one that is no text; waits while many are on their way."""
        try:
            await self._send.send(line)
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            return  # the agent has ended, and nobody waits for an answer

    async def receive(self) -> Sequence[bytes | None]:
        """Return the next lines; raise `anyio.EndOfStream` at the end."""
        return [await self._lines.receive()]

    def stop(self) -> None:
        """Make the input end now."""
        self._send.close()


@dataclass(eq=False)
class _Line:
    data: bytes
    written: anyio.Event | None


class SocketOutlet:
    """The way out: lines leave in the order of the calls, through `send`, in the task of `run`.

    `on_broken` is called once when the client has gone, or reads so slowly that it is given up.
    """

    def __init__(
        self,
        send: Callable[[bytes], Awaitable[None]],
        on_broken: Callable[[], None],
        *,
        patience: float = _PATIENCE_SECONDS,
        backlog_limit: int = _BACKLOG_LIMIT,
    ) -> None:
        self._send = send
        self._on_broken = on_broken
        self._patience = patience
        self._backlog_limit = backlog_limit
        self._lines: deque[_Line] = deque()
        self._backlog = 0
        self._changed = anyio.Event()
        self._broken = False
        self._closing = False
        self.finished = anyio.Event()

    async def write(self, data: bytes) -> None:
        """Write a line and wait until the connection took it; cancelling does not recall it."""
        if not self._broken:
            written = anyio.Event()
            self._enqueue(_Line(data, written))
            await written.wait()

    def post(self, data: bytes) -> None:
        """Write a line without waiting for it."""
        if not self._broken:
            self._enqueue(_Line(data, None))
            if self._backlog > self._backlog_limit:
                self.break_off()

    async def run(self) -> None:
        """Send what is written, until `close` was called and all is sent, or the client is gone.

        Then `finished` is set.
        """
        try:
            while not self._broken:
                self._changed = anyio.Event()
                while self._lines and not self._broken:
                    await self._send_one(self._lines.popleft())
                if self._closing or self._broken:
                    return
                await self._changed.wait()
        finally:
            self.finished.set()

    def close(self) -> None:
        """Let `run` return as soon as all is sent."""
        self._closing = True
        self._changed.set()

    def break_off(self) -> None:
        """Drop what waits: nobody will read it."""
        if self._broken:
            return
        self._broken = True
        for line in self._lines:
            if line.written is not None:
                line.written.set()
        self._lines.clear()
        self._changed.set()
        self._on_broken()

    def _enqueue(self, line: _Line) -> None:
        self._lines.append(line)
        self._backlog += len(line.data)
        self._changed.set()

    async def _send_one(self, line: _Line) -> None:
        try:
            with anyio.fail_after(self._patience):
                await self._send(line.data)
        except (TimeoutError, OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            self.break_off()
        finally:
            self._backlog -= len(line.data)
            if line.written is not None:
                line.written.set()
