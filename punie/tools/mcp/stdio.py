"""A server on stdin and stdout, in a process group that ends with the session and the program."""

import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from fastmcp.client.transports import ClientTransport
from fastmcp.client.transports.base import TransportOptions
from mcp import ClientSession
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

from punie.logs.masking import Masker
from punie.logs.setup import get_logger
from punie.tools.mcp.servers import StdioServer
from punie.workspace.processes import ProcessGroup, end_group, is_alive, start_group

MAX_MESSAGE_BYTES = 32 * 1024 * 1024

_CHUNK_BYTES = 65_536
_POLL_SECONDS = 0.02
# A server that reads the end of its input gets this long to end by itself, then a signal.
_LEAVE_SECONDS = 0.5
_END_GRACE_SECONDS = 0.5
_MOST_LOGGED_LINES = 500
_LOGGED_LINE_CHARS = 1_000

_Received = SessionMessage | Exception
_log = get_logger(__name__)


@dataclass
class Ending:
    """What is known of a server's process; `code` is its exit code, None while it runs."""

    ended: anyio.Event
    code: int | None = None
    nonsense: bool = False
    too_large: bool = False


class GroupedStdioTransport(ClientTransport):
    """Starts the server in a registered process group and speaks JSON lines with it.

    What it writes to stderr goes to the log. Lines on stdout that are no messages are skipped.
    """

    legacy_only = True

    def __init__(self, server: StdioServer, cwd: Path, environment: Mapping[str, str]) -> None:
        self._server = server
        self._cwd = cwd
        self._environment = {**environment, **server.environment}
        self.ending = Ending(anyio.Event())

    @contextlib.asynccontextmanager
    async def connect_session(
        self, *, transport_options: TransportOptions | None = None, **session_kwargs: Any
    ) -> AsyncGenerator[ClientSession]:
        """Start the process; raises `OSError` and `ValueError` as `subprocess.Popen` does."""
        options = transport_options or TransportOptions()
        async with (
            self._running() as (received, sent),
            options.session_class(received, sent, **session_kwargs) as session,
        ):
            yield session

    @contextlib.asynccontextmanager
    async def _running(
        self,
    ) -> AsyncIterator[
        tuple[MemoryObjectReceiveStream[_Received], MemoryObjectSendStream[SessionMessage]]
    ]:
        group, stdin, stdout, stderr = self._start()
        received_in, received = anyio.create_memory_object_stream[_Received](0)
        sent, sent_out = anyio.create_memory_object_stream[SessionMessage](0)
        try:
            with received_in, received, sent, sent_out:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._read, group, stdout, received_in)
                    tasks.start_soon(self._write, stdin, sent_out, received_in)
                    tasks.start_soon(self._log_errors, stderr)
                    try:
                        yield received, sent
                    finally:
                        tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                os.close(stdin)
                await _leave(group)
                os.close(stdout)
                os.close(stderr)

    def _start(self) -> tuple[ProcessGroup, int, int, int]:
        stdin, our_stdin = os.pipe()
        our_stdout, stdout = os.pipe()
        our_stderr, stderr = os.pipe()
        try:
            group = start_group(
                [self._server.command, *self._server.arguments],
                self._cwd,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                environment=self._environment,
            )
        except BaseException:
            for fd in (our_stdin, our_stdout, our_stderr):
                os.close(fd)
            raise
        finally:
            for fd in (stdin, stdout, stderr):
                os.close(fd)
        for fd in (our_stdin, our_stdout, our_stderr):
            os.set_blocking(fd, False)
        return group, our_stdin, our_stdout, our_stderr

    async def _read(
        self, group: ProcessGroup, stdout: int, received: MemoryObjectSendStream[_Received]
    ) -> None:
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async for line in _lines(stdout, MAX_MESSAGE_BYTES):
                if line is None:
                    self.ending.too_large = True
                    break
                message = self._message(line)
                if message is not None:
                    await received.send(message)
        # The exit code comes a moment after the end of the output.
        with anyio.move_on_after(_LEAVE_SECONDS):
            while group.leader.poll() is None:
                await anyio.sleep(_POLL_SECONDS)
        self.ending.code = group.leader.poll()
        self.ending.ended.set()
        received.close()

    def _message(self, line: bytes) -> SessionMessage | None:
        if not line.strip():
            return None
        try:
            return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
        except ValueError:
            if not self.ending.nonsense:
                self.ending.nonsense = True
                _log.warning("an MCP server wrote what is no message", server=self._server.name)
            return None

    async def _write(
        self,
        stdin: int,
        sent: MemoryObjectReceiveStream[SessionMessage],
        received: MemoryObjectSendStream[_Received],
    ) -> None:
        try:
            async for item in sent:
                line = item.message.model_dump_json(by_alias=True, exclude_unset=True)
                rest = memoryview(line.encode() + b"\n")
                while rest:
                    await anyio.wait_writable(stdin)
                    with contextlib.suppress(BlockingIOError):
                        rest = rest[os.write(stdin, rest) :]
        except OSError:
            # Nobody reads: what waits for an answer is told so by the end of the stream.
            received.close()

    async def _log_errors(self, stderr: int) -> None:
        mask = Masker(self._server.environment).text
        number = 0
        async for line in _lines(stderr, _CHUNK_BYTES):
            number += 1
            if line is not None and line.strip() and number <= _MOST_LOGGED_LINES:
                text = line.decode("utf-8", "replace").rstrip()[:_LOGGED_LINE_CHARS]
                _log.info("an MCP server said", server=self._server.name, line=mask(text))


async def _lines(fd: int, limit: int) -> AsyncIterator[bytes | None]:
    """Yield the lines of a pipe until its end; one longer than `limit` bytes comes out as None."""
    parts: list[bytes] = []
    length = 0
    while True:
        await anyio.wait_readable(fd)
        try:
            chunk = os.read(fd, _CHUNK_BYTES)
        except BlockingIOError:
            continue
        except OSError:
            return
        if not chunk:
            return
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            if length <= limit:
                yield b"".join((*parts, piece))
            parts, length = [], 0
        fits = length <= limit
        length += len(rest)
        if length <= limit:
            parts.append(rest)
        elif fits:
            # Told at once: the end of such a line may never come. What follows of it is dropped.
            parts.clear()
            yield None


async def _leave(group: ProcessGroup) -> None:
    """Let a server that noticed the end of its input leave by itself; then end all of it."""
    with anyio.move_on_after(_LEAVE_SECONDS):
        while is_alive(group):
            await anyio.sleep(_POLL_SECONDS)
    await end_group(group, _END_GRACE_SECONDS)
