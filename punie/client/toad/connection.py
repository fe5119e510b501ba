"""One connection of a front end: its sessions, their updates, and what the agent asks of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from punie import __version__
from punie.client.acp_socket import AcpSocket, OnRequest
from punie.client.addresses import find_server
from punie.client.finding import Server
from punie.client.toad.callbacks import (
    Callbacks,
    OnPermission,
    OnUpdate,
    PermissionQuestion,
    tell,
    tell_state,
    tell_update,
)
from punie.client.toad.capture import Capture, capturing
from punie.client.toad.tool_calls import KnownCalls, call_data, is_tool_call
from punie.settings import load_settings

Json = dict[str, Any]
Handlers = Mapping[str, OnRequest]
"""What the front end does for the agent, by the protocol's method: `fs/read_text_file`, …"""

Prompt = str | Sequence[Mapping[str, Any]]
"""A text, or the protocol's content blocks."""

CLIENT_NAME = "punie-toad"
_TERMINAL_METHODS = frozenset(
    f"terminal/{name}" for name in ("create", "output", "wait_for_exit", "kill", "release")
)


class Conversation:
    """A connection's sessions: whatever comes is sent on to the one that it is for."""

    def __init__(self, agent: AcpSocket, callbacks: Callbacks, handlers: Handlers) -> None:
        self.agent = agent
        self._callbacks = callbacks
        self._calls: dict[str, KnownCalls] = {}
        self._streams: dict[str, OnUpdate] = {}
        agent.on_notification("session/update", self._updated)
        agent.on_request("session/request_permission", self._asked)
        for method, handler in handlers.items():
            agent.on_request(method, handler)

    async def open(self, method: str, params: Json) -> str:
        """Open a session by `session/new`, `session/load` or `session/resume`; return its id."""
        answer = await self.agent.request(method, params)
        await tell_state(self._callbacks, answer)
        session_id: str = answer.get("sessionId") or params["sessionId"]
        return session_id

    async def prompt(
        self, session_id: str, prompt: Prompt, on_chunk: OnUpdate | None = None
    ) -> Json:
        """Run a turn; `on_chunk` is told its updates, all of them before this returns."""
        blocks = [{"type": "text", "text": prompt}] if isinstance(prompt, str) else list(prompt)
        # The agent refuses a second turn of a session; the first one keeps its stream.
        streams = on_chunk is not None and session_id not in self._streams
        if on_chunk is not None and streams:
            self._streams[session_id] = on_chunk
        try:
            result: Json = await self.agent.request(
                "session/prompt", {"sessionId": session_id, "prompt": blocks}
            )
        finally:
            if streams:
                del self._streams[session_id]
            if session_id in self._calls:
                self._calls[session_id].drop_ended()
        return result

    async def cancel(self, session_id: str) -> None:
        """End the turn that runs; its prompt returns with `cancelled`."""
        await self.agent.notify("session/cancel", {"sessionId": session_id})

    def _known(self, session_id: str) -> KnownCalls:
        return self._calls.setdefault(session_id, KnownCalls())

    async def _updated(self, params: Json) -> None:
        session_id, update = str(params.get("sessionId")), params.get("update")
        if not isinstance(update, dict):
            return
        if is_tool_call(update):
            update = self._known(session_id).merged(update)
        await tell(self._streams.get(session_id), str(update.get("sessionUpdate", "")), update)
        await tell_update(self._callbacks, update)

    async def _asked(self, params: Json) -> Json:
        session_id, call = str(params.get("sessionId")), params.get("toolCall") or {}
        whole = self._known(session_id).merged(call)
        question = PermissionQuestion(
            session_id,
            str(whole.get("toolCallId")),
            call_data(whole),
            tuple(params.get("options") or ()),
        )
        if self._callbacks.on_permission is None:
            chosen = question.option("reject_once")
        else:
            chosen = await self._callbacks.on_permission(question)
        if chosen is None:
            return {"outcome": {"outcome": "cancelled"}}
        return {"outcome": {"outcome": "selected", "optionId": chosen}}


async def shake_hands(
    agent: AcpSocket, callbacks: Callbacks, handlers: Handlers, name: str = CLIENT_NAME
) -> Conversation:
    """Introduce the front end with what it offers; return the conversation that follows."""
    conversation = Conversation(agent, callbacks, handlers)
    offered = {**callbacks.capabilities(), **offered_by(handlers)}
    await agent.initialize(name, __version__, offered)
    return conversation


def offered_by(handlers: Handlers) -> Json:
    """Return the capabilities that come with handlers; raise `ValueError` for half of one."""
    terminal = _TERMINAL_METHODS & set(handlers)
    if terminal and terminal != _TERMINAL_METHODS:
        missing = ", ".join(sorted(_TERMINAL_METHODS - terminal))
        raise ValueError(f"Terminals need all of their methods; {missing} are missing.")
    offered: Json = {
        "fs": {
            "readTextFile": "fs/read_text_file" in handlers,
            "writeTextFile": "fs/write_text_file" in handlers,
        },
        "terminal": bool(terminal),
    }
    if "elicitation/create" in handlers:
        offered["elicitation"] = {"form": {}}
    return offered


class ToadConnection:
    """What `create_toad_session` returns as `ws`; close it, or use it in `async with`.

    Several sessions may be open on it, and several of their turns run, at the same time.
    """

    def __init__(
        self,
        server: Server,
        callbacks: Callbacks,
        handlers: Handlers,
        settings: Mapping[str, str] | None,
    ) -> None:
        self._server = server
        self._settings = settings
        self._callbacks = callbacks
        self._handlers = handlers
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._conversation: Conversation | None = None

    @property
    def conversation(self) -> Conversation:
        """Its sessions; for a connection that is open."""
        assert self._conversation is not None
        return self._conversation

    async def open(self, capture: Capture | None) -> None:
        """Connect and shake hands; raise `ServerUnavailable` or `RequestFailed`."""
        opened: asyncio.Future[Conversation] = asyncio.get_running_loop().create_future()
        # A task of its own: the connection outlives the call, whatever the caller's scopes are.
        self._task = asyncio.create_task(self._hold(capture, opened))
        try:
            self._conversation = await opened
        except BaseException:
            self._task.cancel()
            raise

    async def aclose(self) -> None:
        """End the connection; turns that run are cancelled."""
        self._closing.set()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def __aenter__(self) -> ToadConnection:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def _hold(self, capture: Capture | None, opened: asyncio.Future[Conversation]) -> None:
        try:
            with capturing(capture) as tap:
                async with AcpSocket.open(self._server, settings=self._settings, tap=tap) as agent:
                    opened.set_result(await shake_hands(agent, self._callbacks, self._handlers))
                    await self._closing.wait()
        except Exception as error:
            if not opened.done():
                opened.set_exception(error)


async def create_toad_session(
    server_url: str | None,
    cwd: str | Path,
    capture: Capture | None = None,
    *,
    token: str | None = None,
    session_id: str | None = None,
    mcp_servers: Sequence[Mapping[str, Any]] = (),
    on_update: OnUpdate | None = None,
    on_permission: OnPermission | None = None,
    handlers: Handlers | None = None,
    state_dir: Path | None = None,
) -> tuple[ToadConnection, str]:
    """Connect to a server and open a session in a folder; return the connection and its id.

    Without a `server_url` the user's own server is used, started if need be, and what the
    environment sets for Punie holds for this connection. With a
    `session_id` that session is loaded, its conversation told to `on_update`. Without
    `on_permission` every question is answered with no; what is not in `handlers` is refused.

    Raises `ServerUnavailable` if there is no server or the token is wrong, and `RequestFailed`
    if the agent does not open the session.
    """
    settings = load_settings(state_dir=state_dir)
    server = await find_server(server_url, settings.state_dir, token=token)
    callbacks = Callbacks(on_update=on_update, on_permission=on_permission)
    own = None if server_url else settings.of_client()
    ws = ToadConnection(server, callbacks, handlers or {}, own)
    await ws.open(capture)
    try:
        method, params = opening(cwd, session_id, mcp_servers)
        return ws, await ws.conversation.open(method, params)
    except BaseException:
        await ws.aclose()
        raise


async def send_prompt_stream(
    ws: ToadConnection, session_id: str, prompt: Prompt, on_chunk: OnUpdate
) -> Json:
    """Run a turn and return the agent's answer, `{"stopReason": …}`.

    `on_chunk(update_type, update)` is told every update of the turn before that, those of tool
    calls put together. A turn that is cancelled here is cancelled at the agent. Raises
    `RequestFailed`, `ConnectionLost`, and whatever `on_chunk` raises.
    """
    return await ws.conversation.prompt(session_id, prompt, on_chunk)


async def cancel_prompt(ws: ToadConnection, session_id: str) -> None:
    """End the turn that runs: its prompt returns with the stop reason `cancelled`."""
    await ws.conversation.cancel(session_id)


def opening(
    cwd: str | Path, session_id: str | None, mcp_servers: Sequence[Mapping[str, Any]]
) -> tuple[str, Json]:
    """Return the method that opens a session, new or stored, and its parameters."""
    params: Json = {
        "cwd": str(Path(cwd).absolute()),
        "mcpServers": [dict(server) for server in mcp_servers],
    }
    if session_id is None:
        return "session/new", params
    return "session/load", {**params, "sessionId": session_id}
