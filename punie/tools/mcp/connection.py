"""One MCP server of a session: connected in the background, watched, connected again once lost."""

import logging
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream

from punie.tools.base import Progress, ToolError
from punie.tools.mcp.idea import IDE_TOOLS, ROUTER_NOTE, is_ide, is_router, local_servers
from punie.tools.mcp.naming import tool_names
from punie.tools.mcp.servers import McpServer, StdioServer

if TYPE_CHECKING:
    from mcp import types

    from punie.tools.mcp.client import Link, Outcome
    from punie.tools.mcp.offers import ToolOffer

State = Literal["connecting", "connected", "failed"]

_PROGRESS_ITEMS = 64
_LIST_PAUSE_SECONDS = 0.5
_LIST_SECONDS = 30.0
_LIBRARY_SETTINGS = {"FASTMCP_LOG_ENABLED": "false", "FASTMCP_ENV_FILE": os.devnull}
_LIBRARY_LOGGERS = ("client", "fastmcp", "httpx2", "mcp")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Surroundings:
    """What the servers of a session are given: its folders and the environment of programs.

    `load` imports the client, in a thread. `start_seconds` bounds connecting, `launcher_seconds`
    waiting for an IDE's launcher, `wait_seconds` a turn's waiting for what is still connecting.
    """

    cwd: Path
    roots: Sequence[Path]
    environment: Callable[[], Awaitable[Mapping[str, str]]]
    load: Callable[[], ModuleType] = field(default_factory=lambda: load_client)
    start_seconds: float = 60.0
    launcher_seconds: float = 4.0
    wait_seconds: float = 2.0


@dataclass
class _Call:
    outcome: "Outcome | None" = None
    failure: str | None = None


class Connection:
    """The tools of one server and the way to call them.

    `offers` are the tools as they are known now; a turn takes them once, at its start. `settled`
    tells that nothing is under way that would change them. `lost` tells that a server which was
    connected is so no more, and has not been tried again.
    """

    def __init__(
        self,
        server: McpServer,
        slug: str,
        surroundings: Surroundings,
        on_change: Callable[[], Awaitable[None]],
    ) -> None:
        self.server = server
        self.slug = slug
        self.state: State = "connecting"
        self.reason: str | None = None
        self.note: str | None = None
        self.offers: tuple[ToolOffer, ...] = ()
        self.settled = anyio.Event()
        self.lost = False
        self.ide = is_ide(server)
        self._surroundings = surroundings
        self._on_change = on_change
        self._again = anyio.Event()
        self._stale = anyio.Event()
        self._link: Link | None = None
        self._calls: TaskGroup | None = None

    async def run(self) -> None:
        """Stay connected until cancelled; a lost server is tried again when `reconnect` says so."""
        while True:
            try:
                reason = await self._attempt()
            except Exception:
                _log.exception("connecting to the MCP server %s failed", self.server.name)
                reason = "of unexpected trouble"
            _log.info("no MCP server %s, because %s", self.server.name, reason)
            if not self._again.is_set():
                self.state, self.reason = "failed", reason
                await self._settle()
            await self._again.wait()
            self._again = anyio.Event()

    def reconnect(self) -> None:
        """Try a lost server again, once."""
        if self.lost:
            self.lost = False
            self.state = "connecting"
            self.settled = anyio.Event()
            self._again.set()

    async def call(self, tool: str, arguments: Mapping[str, Any], progress: Progress) -> "Outcome":
        """Call a tool by the server's name for it; raise `ToolError` when there is no result.

        Cancelling returns at once; the server is told in the background.
        """
        link, calls = self._link, self._calls
        if link is None or calls is None:
            raise ToolError(self._gone())
        sent, received = anyio.create_memory_object_stream[str](_PROGRESS_ITEMS)
        call = _Call()
        scope = anyio.CancelScope()
        calls.start_soon(self._call, link, tool, arguments, call, scope, sent)
        try:
            with received:
                async for text in received:
                    await progress(text)
        finally:
            scope.cancel()
        if call.outcome is not None:
            return call.outcome
        if call.failure is not None and self._link is link:
            raise ToolError(f"the MCP server {self.server.name} gave no result: {call.failure}")
        raise ToolError(self._gone())

    async def _call(
        self,
        link: "Link",
        tool: str,
        arguments: Mapping[str, Any],
        call: _Call,
        scope: anyio.CancelScope,
        sent: MemoryObjectSendStream[str],
    ) -> None:
        from punie.tools.mcp.client import CallFailed

        async def on_progress(text: str) -> None:
            # Too much to show, or nobody looks any more: then it is dropped.
            with suppress(anyio.WouldBlock, anyio.BrokenResourceError, anyio.ClosedResourceError):
                sent.send_nowait(text)

        with sent, scope:
            try:
                call.outcome = await link.call(tool, arguments, on_progress)
            except CallFailed as error:
                call.failure = str(error)

    def _gone(self) -> str:
        return (
            f"the MCP server {self.server.name} is not connected"
            + (f", because {self.reason}" if self.reason else "")
            + "; go on without it"
        )

    async def _attempt(self) -> str:
        """Connect and stay connected; return why that ended, as a clause."""
        client = await anyio.to_thread.run_sync(self._surroundings.load, abandon_on_cancel=True)
        around = self._surroundings
        stdio = isinstance(self.server, StdioServer)
        environment = await around.environment() if stdio else {}
        others = local_servers(self.server, str(around.cwd))
        reasons: list[str] = []
        for server in (self.server, *others):
            launched = bool(others) and server is self.server
            ended: str | None = None
            try:
                async with client.connected(
                    server,
                    cwd=around.cwd,
                    roots=around.roots,
                    environment=environment,
                    seconds=around.launcher_seconds if launched else around.start_seconds,
                    on_tools_changed=self._tools_changed,
                ) as (link, tools):
                    ended = await self._serve(link, tools)
            except Exception as error:
                reasons.append(client.reason_of(error, server))
            if ended is not None:
                return ended
        if others:
            return f"{reasons[0]}, and at the IDE's own address {reasons[1]}"
        return reasons[0]

    async def _serve(self, link: "Link", tools: Sequence["types.Tool"]) -> str:
        self._take(tools)
        self.state, self.reason = "connected", None
        async with anyio.create_task_group() as calls:
            self._link, self._calls = link, calls
            await self._settle()
            calls.start_soon(self._renew, link)
            await link.ended.wait()
            reason = link.why_ended()
            self._link = self._calls = None
            self.state, self.reason, self.lost = "failed", reason, True
            calls.cancel_scope.cancel()
        return reason

    def _tools_changed(self) -> None:
        self.settled = anyio.Event()
        self._stale.set()

    async def _renew(self, link: "Link") -> None:
        """Ask for the tools again whenever the server says that they are others now."""
        while True:
            await self._stale.wait()
            self._stale = anyio.Event()
            try:
                with anyio.fail_after(_LIST_SECONDS):
                    self._take(await link.tools())
            except Exception as error:
                # Only the kind: an error's text may hold an address with a key in it.
                kind = type(error).__name__
                _log.warning("no new list of tools from %s: %s", self.server.name, kind)
            await self._settle()
            await anyio.sleep(_LIST_PAUSE_SECONDS)

    async def _settle(self) -> None:
        self.settled.set()
        await self._on_change()

    def _take(self, tools: Sequence["types.Tool"]) -> None:
        from punie.tools.mcp.offers import ToolOffer
        from punie.tools.mcp.schemas import normalised

        found = {tool.name: tool for tool in tools}
        self.note = None
        if self.ide:
            if is_router(list(found)):
                self.note = ROUTER_NOTE
            # In the order of our table, which is the order of their use.
            found = {name: found[name] for name in IDE_TOOLS if name in found}
        ids = tool_names(self.slug, list(found))
        self.offers = tuple(
            ToolOffer(
                name=name,
                id=ids[name],
                title=_title(tool),
                description=tool.description or "",
                schema=normalised(tool.input_schema),
                read_only=tool.annotations is not None and bool(tool.annotations.read_only_hint),
            )
            for name, tool in found.items()
        )


def _title(tool: "types.Tool") -> str:
    annotated = tool.annotations.title if tool.annotations is not None else None
    return tool.title or annotated or tool.name.replace("_", " ").replace("-", " ").strip()


def load_client() -> ModuleType:
    """Import the MCP client, without the output and the settings files of its libraries.

    Takes about a second; call it in a thread.
    """
    with _variables(_LIBRARY_SETTINGS):
        import punie.tools.mcp.client
        import punie.tools.mcp.tools

    for name in _LIBRARY_LOGGERS:
        # What they log of errors, addresses with keys included, is told in our own words.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return punie.tools.mcp.client


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
