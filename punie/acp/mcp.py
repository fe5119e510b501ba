"""The MCP servers that a client gives a session: read, connected, and put into its turns."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from anyio.abc import TaskGroup

from punie.acp.heavy import import_mcp
from punie.acp.history import SavedHistory
from punie.acp.requests import Incoming
from punie.acp.sessions import LiveSession
from punie.agent.events import Notice
from punie.logs.setup import log_context
from punie.tools.mcp.connection import Surroundings
from punie.tools.mcp.report import MCP_META, encoded
from punie.tools.mcp.servers import (
    HttpServer,
    McpServer,
    SseServer,
    StdioServer,
    UnusableServer,
)
from punie.tools.mcp.session import McpSession
from punie.workspace.environment import command_environment

if TYPE_CHECKING:
    from punie.tools.base import AnyTool


def read_servers(params: Mapping[str, Any]) -> tuple[list[McpServer], list[UnusableServer]]:
    """Return the servers among a request's raw parameters, and the entries that are none.

    Not through the SDK's models, which drop without a word what they do not know.
    """
    servers: list[McpServer] = []
    unusable: list[UnusableServer] = []
    given = params.get("mcpServers")
    for entry in given if isinstance(given, list) else ():
        server = _server(entry if isinstance(entry, dict) else {})
        if isinstance(server, UnusableServer):
            unusable.append(server)
        else:
            servers.append(server)
    return servers, unusable


def _server(entry: Mapping[str, Any]) -> McpServer | UnusableServer:
    name = _text(entry.get("name")) or "without a name"
    kind = entry.get("type", "stdio")
    if kind == "stdio":
        command, arguments = _text(entry.get("command")), entry.get("args", [])
        if not command:
            return UnusableServer(name, "its entry names no command")
        if not isinstance(arguments, list):
            return UnusableServer(name, "its arguments are no list")
        variables = _pairs(entry.get("env"))
        return StdioServer(name, command, tuple(map(str, arguments)), variables)
    if kind in ("http", "sse"):
        url = _text(entry.get("url"))
        if not url:
            return UnusableServer(name, "its entry names no address")
        make = HttpServer if kind == "http" else SseServer
        return make(name, url, _pairs(entry.get("headers")))
    return UnusableServer(name, f"servers of the kind {str(kind)[:40]!r} are not supported")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _pairs(entries: object) -> dict[str, str]:
    """Read a list of names and values."""
    pairs: dict[str, str] = {}
    for entry in entries if isinstance(entries, list) else ():
        match entry:
            case {"name": str(name), "value": str(value)}:
                pairs[name] = value
            case _:
                pass
    return pairs


def give_servers(
    session: LiveSession, request: Incoming, history: SavedHistory, tasks: TaskGroup
) -> None:
    """Give a session the servers of the request; they are connected after its answer."""
    servers, unusable = read_servers(request.params)
    surroundings = Surroundings(
        cwd=session.cwd,
        roots=session.roots,
        environment=partial(command_environment, session.cwd),
        load=import_mcp,
    )

    async def note() -> None:
        await history.note(session, **{MCP_META: encoded(mcp.reports())})

    def start() -> None:
        # What the servers' tasks log carries the session.
        with log_context(session=session.id, project=str(session.cwd)):
            mcp.start(tasks)

    mcp = session.mcp = McpSession(servers, surroundings, unusable=unusable, on_change=note)
    request.after_answer.append(start)


def has_servers(session: LiveSession, request: Incoming | None) -> bool:
    """Tell whether an open session has just the servers that the request names."""
    if request is None or session.mcp is None:
        return True
    servers, _ = read_servers(request.params)
    return tuple(servers) == session.mcp.servers


async def turn_tools(
    session: LiveSession, window: int | None
) -> "tuple[tuple[AnyTool, ...], list[Notice]]":
    """Return the MCP tools of a turn that begins, and what the person is to be told before it.

    A session that was opened again tells nothing that it told already.
    """
    if session.mcp is None:
        return (), []
    tools = await session.mcp.tools(window)
    told = {event.text for event in session.events if isinstance(event, Notice)}
    return tools, [
        Notice(severity="warning", text=text) for text in session.mcp.notices() if text not in told
    ]
