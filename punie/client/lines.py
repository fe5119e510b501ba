"""What carries the protocol's messages to an agent: a WebSocket, or memory within one process."""

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import anyio
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from punie.client.finding import Server, open_connection

_CLOSE_SECONDS = 1.0
_MOST_WAITING = 256


class Lines(Protocol):
    """Text messages from and to an agent, one JSON message each."""

    async def receive(self) -> str | bytes:
        """Return the next message; raise `anyio.EndOfStream` when no more will come."""

    async def send(self, line: str) -> None:
        """Send a message; raise `anyio.BrokenResourceError` when nobody takes it any more."""


class SocketLines:
    """The messages of a WebSocket."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def receive(self) -> str | bytes:
        """Return the next message; raise `anyio.EndOfStream` at the end."""
        try:
            return await self._connection.recv()
        except ConnectionClosed:
            raise anyio.EndOfStream from None

    async def send(self, line: str) -> None:
        """Send a message; raise `anyio.BrokenResourceError` when the connection has ended."""
        try:
            await self._connection.send(line)
        except ConnectionClosed:
            raise anyio.BrokenResourceError from None


@asynccontextmanager
async def socket_lines(
    server: Server, settings: Mapping[str, str] | None = None
) -> AsyncIterator[SocketLines]:
    """Connect to a server for the time of the context; raise `ServerUnavailable`.

    `settings` hold for this client, before those of the server.
    """
    connection = await open_connection(server, settings=settings)
    try:
        yield SocketLines(connection)
    finally:
        # A server that does not answer the farewell must not hold us.
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            await connection.close()


class MemoryLines:
    """The client's end of a pair in memory; `close` ends the agent's input."""

    def __init__(self, agent: "AgentEnd") -> None:
        self._agent = agent

    async def receive(self) -> str | bytes:
        """Return the next message; raise `anyio.EndOfStream` at the end."""
        return await self._agent.read()

    async def send(self, line: str) -> None:
        """Send a message; raise `anyio.BrokenResourceError` when the agent has ended."""
        await self._agent.put(line.encode())

    def close(self) -> None:
        """End the agent's input; what it still writes is dropped."""
        self._agent.leave()


class AgentEnd:
    """The agent's end of a pair in memory: what its transport takes as its inlet and its outlet."""

    def __init__(self) -> None:
        self._put, self._lines = anyio.create_memory_object_stream[bytes](16)
        self._write, self._written = anyio.create_memory_object_stream[bytes](math.inf)
        self._read = anyio.Event()
        self._left = False

    async def receive(self) -> Sequence[bytes | None]:
        """Return the next lines of the client; raise `anyio.EndOfStream` at the end."""
        return [await self._lines.receive()]

    def stop(self) -> None:
        """Make the input end now."""
        self._put.close()

    async def write(self, data: bytes) -> None:
        """Hand a line to the client, and wait while many are waiting for it."""
        self.post(data)
        while not self._left and self._written.statistics().current_buffer_used > _MOST_WAITING:
            await self._read.wait()

    def post(self, data: bytes) -> None:
        """Hand a line to the client without waiting."""
        if not self._left:
            self._write.send_nowait(data)

    def end(self) -> None:
        """Tell the client that nothing more will come; for when the agent has ended."""
        self._write.close()
        self._lines.close()

    async def read(self) -> bytes:
        """Return what was written; raise `anyio.EndOfStream` when that is all."""
        line = await self._written.receive()
        self._wake()
        return line

    async def put(self, line: bytes) -> None:
        """Give the agent a line; raise `anyio.BrokenResourceError` when it takes none."""
        try:
            await self._put.send(line)
        except anyio.ClosedResourceError:
            raise anyio.BrokenResourceError from None

    def leave(self) -> None:
        """Be a client that has gone."""
        self._left = True
        self.stop()
        self._wake()

    def _wake(self) -> None:
        self._read.set()
        self._read = anyio.Event()


def memory_pair() -> tuple[MemoryLines, AgentEnd]:
    """Return the two ends of a connection to an agent in the same process.

    The agent's end goes to `punie.acp.serving.serve_client` as inlet and outlet; call its `end`
    when that returns.
    """
    agent = AgentEnd()
    return MemoryLines(agent), agent
