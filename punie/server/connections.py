"""The clients that are connected: each with its agent, in a task of the server."""

import contextlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import anyio

from punie.acp.host import AgentHost
from punie.acp.serving import serve_client
from punie.acp.transport import Outlet
from punie.logs.setup import get_logger, log_context
from punie.server.lines import SocketInlet
from punie.server.live import Live
from punie.server.metrics import Metrics
from punie.settings import Settings, SettingsError

MOST_CONNECTIONS = 100
_WIND_DOWN_SECONDS = 5.0
_log = get_logger(__name__)


class TooManyConnections(Exception):  # noqa: N818 - it names a state, as the client reads it
    """No further client is taken now."""


@dataclass(eq=False)
class Connection:
    """One client. `kind` is `websocket` or `http`; `settings` are its own, if it has any."""

    id: str
    kind: str
    settings: Settings | None = None
    inlet: SocketInlet = field(default_factory=SocketInlet)
    over: anyio.Event = field(default_factory=anyio.Event)


class Connections:
    """All clients of the server; `idle_since` is when the last one left, by the loop's clock.

    `live` is what they are doing.
    """

    def __init__(self, host: AgentHost, metrics: Metrics) -> None:
        self._host = host
        self._metrics = metrics
        self.live = Live()
        self._open: dict[str, Connection] = {}
        self._ending = False
        self.idle_since = anyio.current_time()

    def __len__(self) -> int:
        return len(self._open)

    def get(self, connection_id: str) -> Connection | None:
        """Return an open connection."""
        return self._open.get(connection_id)

    @contextlib.contextmanager
    def admit(self, kind: str, own_settings: str | None = None) -> Iterator[Connection]:
        """Take a client in for the time of the context.

        `own_settings` is a JSON object of what the client has set for itself. Raises
        `TooManyConnections` and `SettingsError`.
        """
        if self._ending or len(self._open) >= MOST_CONNECTIONS:
            raise TooManyConnections
        settings = None if own_settings is None else self._settings_of(own_settings)
        connection = Connection(secrets.token_hex(16), kind, settings)
        self._open[connection.id] = connection
        self._metrics.joined()
        self.live.joined(connection.id, kind)
        try:
            yield connection
        finally:
            del self._open[connection.id]
            self._metrics.left(connection.id)
            self.live.left(connection.id)
            self.idle_since = anyio.current_time()
            connection.over.set()

    async def serve(self, connection: Connection, outlet: Outlet) -> None:
        """Run the connection's agent until its input ends; trouble stays inside."""

        def tap(message: dict[str, Any], incoming: bool) -> None:
            try:
                self._metrics.observe(connection.id, message, incoming=incoming)
                self.live.observe(connection.id, message, incoming=incoming)
            except Exception:
                # Whoever only watches must not come between a client and its agent.
                _log.exception("a message was not noted")

        with log_context(connection=connection.id[:8]):
            _log.info("client connected", kind=connection.kind)
            try:
                await serve_client(
                    self._host,
                    connection.inlet,
                    outlet,
                    wind_down_seconds=_WIND_DOWN_SECONDS,
                    settings=connection.settings,
                    tap=tap,
                )
            except Exception:
                _log.exception("a connection failed")
            _log.info("client gone")

    def _settings_of(self, header: str) -> Settings:
        try:
            values = json.loads(header)
        except ValueError:
            values = None
        if not isinstance(values, dict) or not all(isinstance(v, str) for v in values.values()):
            raise SettingsError("The settings of a client must be a JSON object of texts.")
        return self._host.settings.for_client(values)

    async def cancel_turn(self, session_id: str) -> bool:
        """Cancel a session's turn as its own client would; False if no client has it open."""
        session = self.live.sessions.get(session_id)
        live = None if session is None else session.connection
        connection = None if live is None else self._open.get(live.id)
        if connection is None:
            return False
        cancel = {"jsonrpc": "2.0", "method": "session/cancel", "params": {"sessionId": session_id}}
        await connection.inlet.put(json.dumps(cancel).encode())
        return True

    async def end_all(self) -> None:
        """Take no more clients, cancel all turns and wait until every connection is over."""
        self._ending = True
        self.live.end()
        for connection in tuple(self._open.values()):
            connection.inlet.stop()
        for connection in tuple(self._open.values()):
            await connection.over.wait()
