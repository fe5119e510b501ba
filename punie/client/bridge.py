"""`punie acp` as a client of the user's server: lines of stdin and stdout to one WebSocket.

What the IDE sees is what an agent in this process would say. A server that goes away in the middle
is found or started again, and the sessions are opened again, without the IDE.
"""

import random
import sys
import traceback
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from punie.client.finding import (
    MESSAGE_LIMIT,
    NoServerPossible,
    ServerUnavailable,
    ensure_server,
    open_connection,
)
from punie.client.ledger import Ledger, refusal, wire_refusal
from punie.wire.inlet import PipeInlet
from punie.wire.lifeline import Lifeline
from punie.wire.messages import INVALID_REQUEST, Request, WireError, parse_line
from punie.wire.outlet import PipeOutlet
from punie.wire.process import run_on_stdio, stop_at_end
from punie.wire.stdio import ProtocolFiles

_WAITING_LIMIT = 64 * 1024 * 1024
"""Bytes of the client's messages that wait for the server; more are left in the pipe."""
_BACKLOG_LIMIT = 16 * 1024 * 1024
"""Bytes that wait for the client; beyond, the server is read as fast as the client reads."""
_SENDING_SECONDS = 10.0
"""After the end of the input: how long a server may take to be there for what still waits."""
_ANSWERING_SECONDS = 2.0
"""And then to answer it."""
_FLUSH_SECONDS = 0.5
_CLOSE_SECONDS = 0.2
_FIRST_LINE_SECONDS = 2.0
_GOING_AWAY = 1001


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server, in seconds.

    Requests are refused after `refuse`, all is given up after `give_up`; attempts are between
    `first` and `longest` apart.
    """

    refuse: float = 20.0
    give_up: float = 60.0
    first: float = 0.05
    longest: float = 5.0


_PATIENCE = Patience()


def serve_bridge(state_dir: Path, settings: Mapping[str, str]) -> int:
    """Serve until stdin ends, a signal comes, the client dies or no server is to be had.

    `settings` hold for this client. This ends the process.
    """
    return run_on_stdio(
        partial(_serve, state_dir, settings),
        on_failure=traceback.print_exc,
        close=sys.stderr.flush,
    )


async def _serve(
    state_dir: Path, settings: Mapping[str, str], files: ProtocolFiles, lifeline: Lifeline
) -> int:
    bridge = Bridge(
        state_dir,
        settings,
        PipeInlet(files.incoming, lambda: None, MESSAGE_LIMIT),
        PipeOutlet(files.outgoing, lifeline.end),
    )
    stop_at_end(lifeline, bridge.stop)
    trouble = await bridge.run()
    if trouble is None:
        return 0
    print(f"punie: {trouble}", file=sys.stderr)
    return 1


class Bridge:
    """Carries one client's messages, over as many connections as it takes."""

    def __init__(
        self,
        state_dir: Path,
        settings: Mapping[str, str],
        inlet: PipeInlet,
        outlet: PipeOutlet,
        patience: Patience = _PATIENCE,
    ) -> None:
        self._patience = patience
        self._state_dir = state_dir
        self._settings = settings
        self._inlet = inlet
        self._outlet = outlet
        self._ledger = Ledger()
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._changed = anyio.Event()
        self._heard = False
        self._over = False
        self._refusing: str | None = None

    def stop(self) -> None:
        """Make the input end now; call it in the event loop."""
        self._inlet.stop()

    async def run(self) -> str | None:
        """Serve until the input ends and what is open is answered.

        Returns a sentence if there was no server to be had; the client has been told.
        """
        trouble = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._read_client)
            with anyio.CancelScope() as scope:
                tasks.start_soon(self._end_in_time, scope)
                try:
                    await self._serve()
                except ServerUnavailable as error:
                    trouble = str(error)
                    await self._give_up(trouble)
            # A client that does not read any more must not hold us.
            with anyio.move_on_after(_FLUSH_SECONDS):
                await self._outlet.flush()
            tasks.cancel_scope.cancel()
        return trouble

    # The client

    async def _read_client(self) -> None:
        while not self._over:
            try:
                for line in await self._inlet.receive():
                    self._take(line)
            except anyio.EndOfStream:
                self._over = True
            self._wake()
            while self._waiting_bytes > _WAITING_LIMIT:
                await self._change()

    def _take(self, line: bytes | None) -> None:
        self._heard = True
        if line is None:
            error = WireError(INVALID_REQUEST, "The message is too large.")
            self._tell(wire_refusal(error))
        elif self._refusing is not None:
            self._refuse(line, self._refusing)
        elif line.strip():
            self._waiting.append(line)
            self._waiting_bytes += len(line)

    def _next(self) -> bytes | None:
        """Return the next line for the server, with what is wrong answered at once."""
        while self._waiting:
            line = self._waiting.popleft()
            self._waiting_bytes -= len(line)
            self._wake()
            try:
                noted = self._ledger.from_client(line)
            except WireError as error:
                self._tell(wire_refusal(error))
                continue
            if noted is not None:
                return noted
        return None

    def _tell(self, line: bytes) -> None:
        self._outlet.post(line + b"\n")

    async def _forward(self, line: bytes) -> None:
        if self._outlet.backlog > _BACKLOG_LIMIT:
            await self._outlet.write(line + b"\n")
        else:
            self._tell(line)

    def _refuse(self, line: bytes, sentence: str) -> None:
        if not line.strip():
            return
        try:
            message = parse_line(line)
        except WireError as error:
            self._tell(wire_refusal(error))
            return
        if isinstance(message, Request):
            self._tell(refusal(message.id, sentence))

    def _refuse_all(self, sentence: str) -> None:
        """Refuse what waits, and from now on what comes."""
        self._refusing = sentence
        for line in self._ledger.refuse_open(sentence):
            self._tell(line)
        for line in self._waiting:
            self._refuse(line, sentence)
        self._waiting.clear()
        self._waiting_bytes = 0
        self._wake()

    async def _give_up(self, sentence: str) -> None:
        self._refuse_all(sentence)
        # An IDE that has just started us says something in a moment, and is to hear why.
        with anyio.move_on_after(_FIRST_LINE_SECONDS):
            while not self._heard:
                await self._change()

    async def _end_in_time(self, scope: anyio.CancelScope) -> None:
        """End the work when the input is over and all is answered, or will not be."""
        while not self._over:
            await self._change()
        with anyio.move_on_after(_SENDING_SECONDS):
            while self._waiting:
                await self._change()
        with anyio.move_on_after(_ANSWERING_SECONDS):
            while self._ledger.has_open_requests:
                await self._change()
        scope.cancel()

    # The server

    async def _serve(self) -> None:
        while True:
            connection = await self._connect()
            try:
                await self._converse(connection)
            finally:
                with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
                    await connection.close()
            for line in self._ledger.lost():
                self._tell(line)
            self._wake()
            if connection.close_code == _GOING_AWAY:
                # Stopped on purpose: it is started again when it is needed.
                while not self._waiting and not self._ledger.has_open_requests:
                    await self._change()

    async def _connect(self) -> ClientConnection:
        """Return a connection to a server that runs, or was started; raise `ServerUnavailable`."""
        found: ClientConnection | ServerUnavailable
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._lose_patience)
            try:
                found = await self._attempts()
            except ServerUnavailable as error:
                found = error
            tasks.cancel_scope.cancel()
        self._refusing = None
        if isinstance(found, ServerUnavailable):
            raise found
        return found

    async def _lose_patience(self) -> None:
        await anyio.sleep(self._patience.refuse)
        self._refuse_all("The Punie server does not start or does not answer; try again later.")

    async def _attempts(self) -> ClientConnection:
        deadline = anyio.current_time() + self._patience.give_up
        delay = self._patience.first
        while True:
            try:
                left = max(0.1, deadline - anyio.current_time())
                server = await ensure_server(self._state_dir, left)
                return await open_connection(server, settings=self._settings)
            except NoServerPossible:
                raise
            except ServerUnavailable:
                if anyio.current_time() >= deadline:
                    raise
            await anyio.sleep(delay * random.uniform(0.5, 1))
            delay = min(2 * delay, self._patience.longest)

    async def _converse(self, connection: ClientConnection) -> None:
        """Carry messages until the connection is lost."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._talk, connection)
            await self._listen(connection)
            tasks.cancel_scope.cancel()

    async def _listen(self, connection: ClientConnection) -> None:
        while True:
            try:
                line = await connection.recv(decode=False)
            except ConnectionClosed:
                return
            replaying = self._ledger.is_replaying
            noted = self._ledger.from_server(line)
            if noted is not None:
                await self._forward(noted)
            if self._over or replaying:
                self._wake()

    async def _talk(self, connection: ClientConnection) -> None:
        try:
            await self._introduce(connection)
            ending = False
            while True:
                line = self._next()
                if line is not None:
                    await connection.send(line, text=True)
                    continue
                if self._over and not ending:
                    ending = True
                    for line in self._ledger.cancels():
                        await connection.send(line, text=True)
                await self._change()
        except ConnectionClosed:
            return  # `_listen` sees it too

    async def _introduce(self, connection: ClientConnection) -> None:
        """Tell a new server what the one before it knew."""
        handshake = self._ledger.replay_handshake()
        if handshake is None:
            return
        await connection.send(handshake, text=True)
        await self._replayed()
        for line in self._ledger.replay_sessions():
            await connection.send(line, text=True)
        await self._replayed()

    async def _replayed(self) -> None:
        while self._ledger.is_replaying:
            await self._change()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def _change(self) -> None:
        await self._changed.wait()
