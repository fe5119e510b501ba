"""Speaking MCP with one server, through pydantic-ai's client. Importing this takes a second.

Import it with `load_client`, which keeps the libraries from writing to stderr.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, assert_never

import anyio
import httpx2
from fastmcp.client import Client
from fastmcp.client.transports import ClientTransport, SSETransport, StreamableHttpTransport
from mcp import types
from mcp.shared.exceptions import MCPError
from pydantic_ai.mcp import MCPToolset

from punie import __version__
from punie.logs.setup import get_logger
from punie.tools.mcp.content import result_text
from punie.tools.mcp.servers import (
    HttpServer,
    McpServer,
    SseServer,
    StdioServer,
    host_of,
    is_loopback,
    is_web_address,
)
from punie.tools.mcp.stdio import MAX_MESSAGE_BYTES, Ending, GroupedStdioTransport
from punie.tools.wording import one_line

CALL_SECONDS = 600.0
"""How long one call may take."""

_PING_SECONDS = 3.0
# A server may be silent for as long as nothing is asked of it.
_SILENCE = timedelta(days=7)
_REASON_CHARS = 160
_MOST_TOOLS = 1_000

OnProgress = Callable[[str], Awaitable[None]]
_log = get_logger(__name__)


class CallFailed(Exception):  # noqa: N818 - it names what happened
    """The server gave no result; the message is a clause for the model."""


@dataclass(frozen=True)
class Outcome:
    """What a call brought: text for the model, and whether the server says that it failed."""

    text: str
    failed: bool


class Link:
    """An open connection. `ended` is set when it is known to be of no more use."""

    def __init__(
        self,
        server: McpServer,
        toolset: MCPToolset[Any],
        ended: anyio.Event,
        trouble: Callable[[], str],
    ) -> None:
        self._server = server
        self._toolset = toolset
        self._trouble = trouble
        self.ended = ended

    async def tools(self) -> Sequence[types.Tool]:
        """Ask for the list of tools; raises what the libraries raise."""
        tools = await self._toolset.list_tools()
        return tools[:_MOST_TOOLS]

    async def call(
        self, tool: str, arguments: Mapping[str, Any], on_progress: OnProgress
    ) -> Outcome:
        """Call a tool; raise `CallFailed` when there is no result. Cancelling tells the server."""

        async def show(progress: float, total: float | None, message: str | None) -> None:
            amount = f"{progress:g}/{total:g}" if total else ""
            text = " ".join(part for part in (amount, message) if part)
            if text:
                await on_progress(f"{text}\n")

        try:
            result = await self._toolset.client.call_tool_mcp(
                tool, dict(arguments), progress_handler=show, timeout=CALL_SECONDS
            )
        except Exception as error:
            if await self._answers():
                raise CallFailed(reason_of(error, self._server)) from error
            _log.warning(
                "an MCP server is gone", server=self._server.name, error=type(error).__name__
            )
            self.ended.set()
            raise CallFailed(self.why_ended()) from error
        return Outcome(result_text(result), result.is_error)

    async def _answers(self) -> bool:
        if self.ended.is_set():
            return False
        try:
            with anyio.fail_after(_PING_SECONDS):
                await self._toolset.client.ping()
        except Exception as error:
            # Not knowing the request is an answer.
            return isinstance(error, MCPError) and error.code == types.METHOD_NOT_FOUND
        return True

    def why_ended(self) -> str:
        """Return why the connection ended, as a clause."""
        return self._trouble() or "it no longer answers"


@asynccontextmanager
async def connected(
    server: McpServer,
    *,
    cwd: Path,
    roots: Sequence[Path],
    environment: Mapping[str, str],
    seconds: float,
    on_tools_changed: Callable[[], None],
) -> AsyncIterator[tuple[Link, Sequence[types.Tool]]]:
    """Connect, shake hands and ask for the tools, in `seconds` at most.

    Raises what the libraries raise, and `TimeoutError`; `reason_of` explains it. The body runs in
    no task group or cancel scope of this function.
    """

    async def on_message(message: types.ServerNotification | Exception) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            on_tools_changed()

    async def on_log(message: types.LoggingMessageNotificationParams) -> None:
        _log.debug("an MCP server logged", server=server.name, line=str(message.data)[:1000])

    transport, ended, trouble = _transport(server, cwd, environment)
    client = Client(
        transport,
        # Servers in the field may fail on anything that comes before the handshake, and only a
        # session that began with it is told of changed tools.
        mode="legacy",
        init_timeout=0,
        timeout=CALL_SECONDS,
        client_info=types.Implementation(name="punie", title="Punie", version=__version__),
        roots=[root.as_uri() for root in roots],
        message_handler=on_message,
        log_handler=on_log,
    )
    toolset: MCPToolset[Any] = MCPToolset(client, id=server.name, cache_tools=False)
    stack = AsyncExitStack()
    try:
        try:
            with anyio.fail_after(seconds):
                await stack.enter_async_context(toolset)
                link = Link(server, toolset, ended, trouble)
                tools = await link.tools()
        except Exception as error:
            clause = trouble()
            if clause:
                raise Explained(clause) from error
            raise
        yield link, tools
    finally:
        # Cancelled or not: what is not closed here leaves a process behind.
        with anyio.CancelScope(shield=True):
            await stack.aclose()


class Explained(Exception):  # noqa: N818 - it names what it holds
    """Trouble with a server whose reason is known; the message is a clause."""


def _transport(
    server: McpServer, cwd: Path, environment: Mapping[str, str]
) -> tuple[ClientTransport, anyio.Event, Callable[[], str]]:
    """Return the way to a server, the event of its end, and what tells of trouble on the way."""
    if isinstance(server, StdioServer):
        stdio = GroupedStdioTransport(server, cwd, environment)
        return stdio, stdio.ending.ended, lambda: _stdio_trouble(stdio.ending)
    if not is_web_address(server.url):
        raise Explained("its address does not begin with http:// or https://")
    headers = dict(server.headers)
    refusals: list[int] = []
    client = _http_client(server.url, refusals)
    transport: ClientTransport
    match server:
        case HttpServer():
            transport = StreamableHttpTransport(
                server.url,
                headers=headers,
                httpx_client_factory=client,
                max_sse_event_size=MAX_MESSAGE_BYTES,
            )
        case SseServer():
            transport = SSETransport(
                server.url,
                headers=headers,
                sse_read_timeout=_SILENCE,
                httpx_client_factory=client,
            )
        case _:
            assert_never(server)
    return transport, anyio.Event(), lambda: "it refused the sign-in" if refusals else ""


def _http_client(url: str, refusals: list[int]) -> Callable[..., httpx2.AsyncClient]:
    # A proxy that is configured for the outside must never see what goes to this machine.
    trust = not is_loopback(url)

    async def look(response: httpx2.Response) -> None:
        # One transport tells of the status, the other one hides it.
        if response.status_code in (401, 403):
            refusals.append(response.status_code)

    def client(
        headers: dict[str, str] | None = None,
        timeout: httpx2.Timeout | None = None,
        auth: httpx2.Auth | None = None,
        follow_redirects: bool = False,
    ) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            headers=headers,
            timeout=timeout or httpx2.Timeout(30.0, read=CALL_SECONDS),
            auth=auth,
            trust_env=trust,
            event_hooks={"response": [look]},
        )

    return client


def reason_of(error: BaseException, server: McpServer) -> str:
    """Return why a server cannot be used, as a clause without secrets."""
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    for cause in _causes(error):
        match cause:
            case Explained():
                return str(cause)
            case FileNotFoundError() if isinstance(server, StdioServer):
                return f"the command {Path(server.command).name} was not found"
            case OSError() if isinstance(server, StdioServer):
                name = Path(server.command).name
                return f"the command {name} could not be started: {cause.strerror or cause}"
            case httpx2.HTTPStatusError():
                return f"it answered with HTTP {cause.response.status_code}"
            case httpx2.ConnectError() | ConnectionError():
                return f"nothing answers at {_place(server)}"
            case httpx2.TimeoutException():
                return f"{_place(server)} did not answer in time"
            case httpx2.SSEError():
                return "what it answered is not MCP"
            case MCPError():
                return f"it answered with an error: {one_line(cause.message, _REASON_CHARS)}"
            case _:
                continue
    return f"of unexpected trouble ({type(_causes(error)[-1]).__name__})"


def _causes(error: BaseException) -> list[BaseException]:
    """Return the error and all that is inside or behind it, outermost first."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting and len(found) < 50:
        current = waiting.pop(0)
        if current is None or current in found:
            continue
        found.append(current)
        if isinstance(current, BaseExceptionGroup):
            waiting.extend(current.exceptions)
        waiting.append(current.__cause__ or current.__context__)
    return found


def _place(server: McpServer) -> str:
    return "its process" if isinstance(server, StdioServer) else host_of(server.url)


def _stdio_trouble(ending: Ending) -> str:
    if ending.too_large:
        return "it sent a message that is too large"
    if ending.ended.is_set():
        if ending.code is None:
            return "it closed its output"
        how = f"exit code {ending.code}" if ending.code >= 0 else f"signal {-ending.code}"
        return f"it ended with {how}"
    return "what it wrote is not MCP" if ending.nonsense else ""
