"""The client's end of the connection, as the rest of this room uses it."""

import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from acp.interfaces import Client

from punie.acp.transport import AgentTransport
from punie.acp.updates import SessionUpdate, update_params

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class ClientConnection:
    """Sends updates to the client and asks it things.

    `sdk` makes the requests of the protocol; hand what it returns to `ask`.
    """

    sdk: Client
    transport: AgentTransport

    async def update(self, session_id: str, update: SessionUpdate) -> None:
        """Send an update of a session; a client that has gone is no error.

        Not through the SDK, whose models lack the newest updates and whose checks of our own
        values would cost more than all the rest of the way.
        """
        with contextlib.suppress(ConnectionError):
            await self.transport.notify("session/update", update_params(session_id, update))

    async def ask(self, call: Coroutine[Any, Any, Answer]) -> Answer:
        """Wait for a request of the SDK; when that is cancelled the client is told so."""
        with self.transport.withdrawing():
            return await call
