"""Reads lines from the client's pipe in a thread of its own, so that the event loop never waits."""

import os
import select
import threading
from collections.abc import Callable, Sequence

import anyio
from anyio import from_thread, lowlevel

_LINE_LIMIT = 256 * 1024 * 1024
_READ_SIZE = 256 * 1024


class PipeInlet:
    """The way in. `on_gone` is called, in the thread, when the client closed its end."""

    def __init__(self, fd: int, on_gone: Callable[[], None], line_limit: int = _LINE_LIMIT) -> None:
        self._fd = fd
        self._on_gone = on_gone
        self._loop = lowlevel.current_token()
        self._send_chunk, self._chunks = anyio.create_memory_object_stream[bytes](16)
        self._lines = LineSplitter(line_limit)
        self._thread: threading.Thread | None = None

    async def receive(self) -> Sequence[bytes | None]:
        """Return the lines that came; raise `anyio.EndOfStream` at the end."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._read, name="acp-inlet", daemon=True)
            self._thread.start()
        return self._lines.feed(await self._chunks.receive())

    def stop(self) -> None:
        """Make the input end now; call it in the event loop."""
        self._send_chunk.close()

    def _read(self) -> None:
        ready = select.poll()
        ready.register(self._fd, select.POLLIN)
        try:
            while True:
                try:
                    chunk = os.read(self._fd, _READ_SIZE)
                except BlockingIOError:
                    ready.poll()
                    continue
                except OSError:
                    chunk = b""
                if not chunk:
                    break
                from_thread.run(self._send_chunk.send, chunk, token=self._loop)
            # The last line may come without its end.
            from_thread.run(self._send_chunk.send, b"\n", token=self._loop)
            self._on_gone()
            from_thread.run_sync(self._send_chunk.close, token=self._loop)
        except (RuntimeError, anyio.ClosedResourceError, anyio.BrokenResourceError):
            self._on_gone()


class LineSplitter:
    """Cuts a stream of bytes into lines; a line longer than `limit` bytes comes out as None."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes | None]:
        """Return the lines that end in this chunk, without their line ends."""
        lines: list[bytes | None] = []
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            self._add(piece)
            lines.append(b"".join(self._parts) if self._size <= self._limit else None)
            self._parts, self._size = [], 0
        if rest:
            self._add(rest)
        return lines

    def _add(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size <= self._limit:
            self._parts.append(piece)
        else:
            self._parts.clear()
