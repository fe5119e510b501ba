"""What the clients of one process share: the models, the session store, and who has which session.

`punie acp` has one client, the server many. A session is open for one client at a time; whoever
opens it next takes it over, since a client that lost its connection comes back as a new one.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from punie.acp.history import SavedHistory
from punie.acp.models import ModelPool
from punie.models.options import engine_options
from punie.settings import Settings

if TYPE_CHECKING:
    from punie.models.sharding.machines import Machines


class SessionHolder(Protocol):
    """One client's agent, which has sessions open."""

    async def let_go(self, session_id: str) -> None:
        """Cancel what the session is doing and close it; it is not there for this client then."""


@dataclass(eq=False)
class AgentHost:
    """The shared part of a process. `holders` names, by session, the agent that has it open."""

    settings: Settings
    history: SavedHistory
    models: ModelPool
    holders: dict[str, SessionHolder] = field(default_factory=dict)
    _opening: dict[str, tuple[anyio.Lock, int]] = field(default_factory=dict)

    @classmethod
    def start(
        cls, settings: Settings, tasks: TaskGroup, machines: "Machines | None" = None
    ) -> "AgentHost":
        """Return a host whose models load in `tasks`; nothing is opened yet.

        `machines` share one of the models with this one.
        """
        return cls(
            settings,
            SavedHistory(settings.sessions_file),
            ModelPool(tasks, replace(engine_options(settings), machines=machines)),
        )

    async def aclose(self) -> None:
        """Close the store."""
        await self.history.close()

    async def forget(self, session_id: str) -> None:
        """Delete what is kept of a session that no client has open; raise `HistoryUnavailable`."""
        await self.history.delete(session_id)
        await self.models.forget(session_id)
        from punie.workspace.checkpoints.keeping import forget_checkpoints

        folder = self.settings.checkpoints_folder(session_id)
        await anyio.to_thread.run_sync(forget_checkpoints, folder)

    @asynccontextmanager
    async def alone_with(self, session_id: str) -> AsyncIterator[None]:
        """Keep every other client from opening or deleting the session meanwhile."""
        lock, users = self._opening.get(session_id, (anyio.Lock(), 0))
        self._opening[session_id] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._opening.pop(session_id)
            if users > 1:
                self._opening[session_id] = (lock, users - 1)

    async def take_from_others(self, session_id: str, taker: SessionHolder) -> None:
        """Have another client's agent let go of the session, if one has it open."""
        holder = self.holders.get(session_id)
        if holder is not None and holder is not taker:
            await holder.let_go(session_id)
