"""Writes lines to the client in order, and never lets a client that reads slowly block the loop."""

import os
import select
import stat
import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import anyio
from anyio import from_thread, lowlevel

_BACKLOG_LIMIT = 64 * 1024 * 1024
_WRITE_SIZE = 256 * 1024


class _Line(NamedTuple):
    data: bytes
    written: anyio.Event | None


class PipeOutlet:
    """The way out. Lines leave in the order of the calls.

    A thread does the writing, because a blocking write is the only kind that does not change the
    descriptor for the processes that share it; small lines that fit into the pipe at once skip
    the thread. `on_broken` is called when the client closed its end, or when it has read nothing
    of 64 MiB.
    """

    def __init__(self, fd: int, on_broken: Callable[[], None]) -> None:
        self._fd = fd
        self._on_broken = on_broken
        self._broken = False
        self._lines: deque[_Line] = deque()
        self._backlog = 0
        self._changed = threading.Condition()
        self._loop = lowlevel.current_token()
        self._thread: threading.Thread | None = None
        mode = os.fstat(fd).st_mode
        self._has_buffer = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        # A poll object serves one thread at a time; this one is the writing thread's.
        self._room = select.poll()
        self._room.register(fd, select.POLLOUT)

    async def write(self, data: bytes) -> None:
        """Write a line and wait until the client's pipe took it; cancelling does not recall it."""
        rest = self._write_at_once(data)
        if rest:
            written = anyio.Event()
            self._enqueue(_Line(rest, written))
            await written.wait()

    def post(self, data: bytes) -> None:
        """Write a line without waiting for it."""
        rest = self._write_at_once(data)
        if rest:
            self._enqueue(_Line(rest, None))

    @property
    def backlog(self) -> int:
        """Bytes that the client's pipe did not take yet."""
        return self._backlog

    async def flush(self) -> None:
        """Wait until the client's pipe took everything."""
        if self._backlog and not self._broken:
            written = anyio.Event()
            self._enqueue(_Line(b"", written))
            await written.wait()

    def _write_at_once(self, data: bytes) -> bytes:
        # Of PIPE_BUF bytes a pipe that polls as writable takes all, without blocking. What could
        # not be written comes back.
        if self._broken:
            return b""
        if not self._has_buffer or len(data) > select.PIPE_BUF:
            return data
        with self._changed:
            if self._backlog:
                return data
        ready = self._poll.poll(0)
        if not ready or not ready[0][1] & select.POLLOUT:
            return data
        try:
            return data[os.write(self._fd, data) :]
        except BlockingIOError:
            return data
        except OSError:
            self._break()
            return b""

    def _enqueue(self, line: _Line) -> None:
        with self._changed:
            self._lines.append(line)
            self._backlog += len(line.data)
            overflow = self._backlog > _BACKLOG_LIMIT and line.written is None
            self._changed.notify()
        if overflow:
            self._break()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="acp-outlet", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines)
                lines = list(self._lines)
                self._lines.clear()
            self._write_all(b"".join(line.data for line in lines))
            with self._changed:
                self._backlog -= sum(len(line.data) for line in lines)
            events = [line.written for line in lines if line.written is not None]
            if events:
                try:
                    from_thread.run_sync(_set_all, events, token=self._loop)
                except RuntimeError:
                    return  # the loop is over, and nobody waits any more

    def _write_all(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view and not self._broken:
                try:
                    view = view[os.write(self._fd, view[:_WRITE_SIZE]) :]
                except BlockingIOError:
                    # Whoever shares the descriptor may have made it non-blocking.
                    self._room.poll()
        except OSError:
            self._break()

    def _break(self) -> None:
        if not self._broken:
            self._broken = True
            self._on_broken()


def _set_all(events: list[anyio.Event]) -> None:
    for event in events:
        event.set()
