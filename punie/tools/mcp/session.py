"""All MCP servers of one session: what a turn gets of them and what a person is told."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from punie.tools.mcp.connection import Connection, Surroundings
from punie.tools.mcp.naming import server_slugs
from punie.tools.mcp.report import ServerReport, ToolReport
from punie.tools.mcp.servers import McpServer, UnusableServer, transport_of
from punie.tools.wording import one_line

if TYPE_CHECKING:
    from punie.tools.base import AnyTool
    from punie.tools.mcp.results import LongResults

_CLOSE_SECONDS = 5.0
_NAME_CHARS = 60
_log = logging.getLogger(__name__)
_NOT_USED = "The MCP server {} is not used, because {}; the session goes on without it."
_LEFT_OUT = (
    "Of the {} tools of the MCP server {} {} are used; more would take too much of the model's "
    "context."
)


def _shown(name: str) -> str:
    return one_line(name, _NAME_CHARS)


async def _nobody() -> None:
    """Tell nobody of a change."""


class McpSession:
    """The MCP servers of one session.

    `start` begins to connect, in the background; one server never waits for another. Turns call
    `settle`, then `tools` and `notices`. `on_change` is called whenever `reports` says something
    else than before. Ends with `aclose`, or with the task group it was started in.
    """

    def __init__(
        self,
        servers: Sequence[McpServer],
        surroundings: Surroundings,
        *,
        unusable: Sequence[UnusableServer] = (),
        on_change: Callable[[], Awaitable[None]] = _nobody,
    ) -> None:
        slugs = server_slugs([server.name for server in servers])
        self._surroundings = surroundings
        self._unusable = tuple(unusable)
        self._on_change = on_change
        self._connections = [
            Connection(server, slug, surroundings, self._tell)
            for server, slug in zip(servers, slugs, strict=True)
        ]
        self._results: LongResults | None = None
        self._left_out: dict[str, frozenset[str]] = {}
        self._waited: set[anyio.Event] = set()
        self._told: set[str] = set()
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()
        self._started = False

    @property
    def servers(self) -> tuple[McpServer, ...]:
        """The servers as they were given."""
        return tuple(connection.server for connection in self._connections)

    def start(self, tasks: TaskGroup) -> None:
        """Begin to connect, once; nothing is waited for."""
        if not self._started and not self._scope.cancel_called:
            self._started = True
            tasks.start_soon(self._run)

    async def _run(self) -> None:
        try:
            with self._scope:
                await self._tell()
                async with anyio.create_task_group() as group:
                    for connection in self._connections:
                        group.start_soon(connection.run)
        except Exception:
            _log.exception("the MCP servers of a session failed")
        finally:
            self._ended.set()

    async def _tell(self) -> None:
        try:
            await self._on_change()
        except Exception:
            _log.exception("telling of the MCP servers failed")

    async def settle(self) -> None:
        """Wait a moment, once for each attempt, for servers on their way; try lost ones again."""
        if not self._started:
            return
        for connection in self._connections:
            connection.reconnect()
        pending = [c.settled for c in self._connections if not c.settled.is_set()]
        pending = [event for event in pending if event not in self._waited]
        if not pending:
            return
        # Importing is no waiting for a server, and a turn imports most of it anyway.
        await anyio.to_thread.run_sync(self._surroundings.load, abandon_on_cancel=True)
        with anyio.move_on_after(self._surroundings.wait_seconds):
            for event in pending:
                await event.wait()
        self._waited.update(event for event in pending if not event.is_set())

    async def tools(self, window: int | None) -> "tuple[AnyTool, ...]":
        """Return the tools for a turn on a model with this window in tokens.

        The order depends only on the servers, so that a prompt begins as the one before.
        """
        if not self._connections:
            return ()
        from punie.tools.mcp.offers import prompt_room, select
        from punie.tools.mcp.results import LongResults
        from punie.tools.mcp.tools import ide_offer, mcp_tool

        offers = [
            [ide_offer(offer) if c.ide else offer for offer in c.offers]
            if c.state != "failed"
            else []
            for c in self._connections
        ]
        chosen = select(offers, prompt_room(window))
        before = self._left_out
        self._left_out = {
            connection.slug: frozenset(offer.name for offer in offered)
            - {tool.offer.name for tool in kept}
            for connection, offered, kept in zip(self._connections, offers, chosen, strict=True)
        }
        if self._left_out != before and any((*self._left_out.values(), *before.values())):
            await self._tell()
        if not any(chosen):
            return ()
        if self._results is None:
            self._results = LongResults()
        results = self._results
        return (
            *(
                mcp_tool(connection, tool, results)
                for connection, kept in zip(self._connections, chosen, strict=True)
                for tool in kept
            ),
            results.tool(),
        )

    def notices(self) -> list[str]:
        """Return the sentences that the person has not been told yet; each comes once."""
        new = {s: text for s, text in self._sentences() if s not in self._told}
        self._told.update(new)
        return list(new.values())

    def _sentences(self) -> list[tuple[str, str]]:
        """Return what there is to tell, each with the subject it is told of only once."""
        sentences = [
            (f"unusable {number}", _NOT_USED.format(_shown(server.name), server.reason))
            for number, server in enumerate(self._unusable)
        ]
        for c in self._connections:
            name = _shown(c.server.name)
            reason = c.reason if c.state == "failed" else c.note
            if reason:
                sentences.append((f"reason {c.slug}", _NOT_USED.format(name, reason)))
            left_out = sum(offer.name in self._left_out.get(c.slug, ()) for offer in c.offers)
            if left_out:
                total = len(c.offers)
                sentence = _LEFT_OUT.format(total, name, total - left_out or "none")
                sentences.append((f"left out {c.slug}", sentence))
        return sentences

    def reports(self) -> list[ServerReport]:
        """Return how each server is doing, for a person; no secrets are in it."""
        return [
            *(
                ServerReport(
                    name=c.server.name,
                    transport=transport_of(c.server),
                    state=c.state,
                    reason=c.reason if c.state == "failed" else c.note,
                    tools=tuple(
                        ToolReport(
                            name=offer.name,
                            id=offer.id,
                            used=offer.name not in self._left_out.get(c.slug, ()),
                        )
                        for offer in c.offers
                    ),
                )
                for c in self._connections
            ),
            *(
                ServerReport(name=server.name, state="failed", reason=server.reason)
                for server in self._unusable
            ),
        ]

    async def aclose(self) -> None:
        """End every connection and all that was started for it."""
        self._scope.cancel()
        if self._started:
            with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
                await self._ended.wait()
