"""A client's conversation with an agent: requests and their answers, and what the agent says.

The core that `punie ask` and the WebSocket client share. It knows JSON-RPC and nothing of what
is said::

    async with AcpSocket.open(server) as agent:
        agent.on_notification("session/update", show)
        agent.on_request("session/request_permission", decide)
        await agent.initialize("my-front-end", "1")
        session = await agent.request("session/new", {"cwd": "/work", "mcpServers": []})
        await agent.request("session/prompt", {...})

`AcpSocket.over(lines)` is the same over anything that carries lines, such as `memory_pair()`.

What the agent says is handled one message after the other, in its order: `request` returns when
all that came before its answer has been handled. Requests of the agent are answered side by side,
so that a question that waits for a person holds up nothing. Handlers may make requests too.
"""

import inspect
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import TaskGroup

from punie.client.finding import Server
from punie.client.lines import Lines, socket_lines

Json = dict[str, Any]
OnNotification = Callable[[Json], Awaitable[None] | None]
"""Is told the parameters of a notification."""

OnRequest = Callable[[Json], Awaitable[Json]]
"""Returns the result of a request with these parameters, or raises `RequestFailed`."""

Tap = Callable[[Json, bool], None]
"""Sees every message; the flag tells whether it came from the agent."""

PROTOCOL_VERSION = 1
METHOD_NOT_FOUND = -32601
INTERNAL_ERROR = -32603
CANCELLED = -32800
_MOST_WAITING = 1000
_FAREWELL_SECONDS = 1.0


class RequestFailed(Exception):  # noqa: N818 - it names what happened, as the reader meets it
    """The other side answered with an error: JSON-RPC's `code`, one sentence, perhaps data."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


class ConnectionLost(Exception):  # noqa: N818 - as above
    """The connection has ended; nothing can be asked any more."""

    def __init__(self) -> None:
        super().__init__("The connection to the agent has ended.")


@dataclass(eq=False)
class _Pending:
    """A request that waits; `urgent` if what comes before the answer cannot be handled first."""

    urgent: bool
    answered: anyio.Event = field(default_factory=anyio.Event)
    result: Any = None
    error: Exception | None = None


class AcpSocket:
    """One connection to an agent; made by `open` or `over`."""

    def __init__(self, lines: Lines, tasks: TaskGroup, tap: Tap | None) -> None:
        self._lines = lines
        self._tasks = tasks
        self._tap = tap
        self._last_id = 0
        self._pending: dict[int, _Pending] = {}
        self._answering: dict[Any, anyio.CancelScope] = {}
        self._notified: dict[str, OnNotification] = {}
        self._asked: dict[str, OnRequest] = {}
        self._waiting: deque[Json] = deque()
        self._changed = anyio.Event()
        self._failure: Exception | None = None
        self._handler_task: int | None = None
        self._ended = anyio.Event()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        server: Server,
        *,
        settings: Mapping[str, str] | None = None,
        tap: Tap | None = None,
    ) -> AsyncIterator["AcpSocket"]:
        """Connect to a server for the time of the context; raise `ServerUnavailable`.

        `settings` hold for this client, before those of the server.
        """
        async with socket_lines(server, settings) as lines, cls.over(lines, tap=tap) as agent:
            yield agent

    @classmethod
    @asynccontextmanager
    async def over(cls, lines: Lines, *, tap: Tap | None = None) -> AsyncIterator["AcpSocket"]:
        """Talk to the agent at the other end of `lines` for the time of the context."""
        failure: Exception | None = None
        async with anyio.create_task_group() as tasks:
            agent = cls(lines, tasks, tap)
            tasks.start_soon(agent._read)
            tasks.start_soon(agent._handle)
            try:
                yield agent
            except Exception as error:
                failure = error  # as it is, not in the group that the tasks would make of it
            finally:
                tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    @property
    def has_ended(self) -> bool:
        """Whether the connection is over."""
        return self._ended.is_set()

    async def wait_ended(self) -> None:
        """Return when the connection is over and all that came has been handled.

        Raises what a handler raised, if that was the reason.
        """
        await self._ended.wait()
        if self._failure is not None:
            raise self._failure

    def on_notification(self, method: str, handler: OnNotification) -> None:
        """Have a handler called for each notification of a method, in order.

        What it raises ends the connection, and comes out of every request.
        """
        self._notified[method] = handler

    def on_request(self, method: str, handler: OnRequest) -> None:
        """Have the agent's requests of a method answered by a handler.

        It is cancelled when the agent no longer waits, or has gone. What it raises, but for
        `RequestFailed`, ends the connection, and comes out of every request. Methods without a
        handler are answered as unknown.
        """
        self._asked[method] = handler

    async def request(self, method: str, params: Mapping[str, Any] | None = None) -> Any:
        """Ask the agent something and return the result.

        Raises `RequestFailed` for an error and `ConnectionLost`. The agent is told when the
        request is cancelled.
        """
        self._last_id += 1
        request_id = self._last_id
        urgent = self._handler_task == anyio.get_current_task().id
        pending = self._pending[request_id] = _Pending(urgent)
        self._wake()
        try:
            await self._send({"id": request_id, "method": method, "params": dict(params or {})})
            await pending.answered.wait()
        except anyio.get_cancelled_exc_class():
            if not pending.answered.is_set():
                with anyio.move_on_after(_FAREWELL_SECONDS, shield=True), suppress(Exception):
                    await self.notify("$/cancel_request", {"requestId": request_id})
            raise
        finally:
            self._pending.pop(request_id, None)
        if pending.error is not None:
            raise pending.error
        return pending.result

    async def notify(self, method: str, params: Mapping[str, Any]) -> None:
        """Tell the agent something; raise `ConnectionLost`."""
        await self._send({"method": method, "params": dict(params)})

    async def initialize(
        self, name: str, version: str, capabilities: Mapping[str, Any] | None = None
    ) -> Json:
        """Shake hands as the client `name`; return what the agent can do.

        Raises `RequestFailed` if the agent speaks another version of the protocol.
        """
        result: Json = await self.request(
            "initialize",
            {
                "protocolVersion": PROTOCOL_VERSION,
                "clientCapabilities": dict(capabilities or {}),
                "clientInfo": {"name": name, "version": version},
            },
        )
        spoken = result.get("protocolVersion")
        if spoken != PROTOCOL_VERSION:
            sentence = f"The agent speaks version {spoken} of the protocol, not {PROTOCOL_VERSION}."
            raise RequestFailed(INTERNAL_ERROR, sentence)
        return result

    async def _send(self, members: Json) -> None:
        if self._ended.is_set():
            raise self._failure or ConnectionLost()
        message = {"jsonrpc": "2.0", **members}
        if self._tap is not None:
            self._tap(message, False)
        try:
            await self._lines.send(json.dumps(message, separators=(",", ":")))
        except anyio.BrokenResourceError:
            raise self._failure or ConnectionLost() from None

    async def _read(self) -> None:
        """Take in what comes; answers that a handler waits for overtake the rest."""
        with suppress(anyio.EndOfStream):
            while True:
                message = _decoded(await self._lines.receive())
                if message is None:
                    continue
                if self._tap is not None:
                    self._tap(message, True)
                pending = None if "method" in message else self._pending.get(message.get("id", 0))
                if pending is not None and pending.urgent:
                    _settle(pending, message)
                    continue
                self._waiting.append(message)
                self._wake()
                await self._room()
        self._waiting.append({})
        self._wake()

    async def _room(self) -> None:
        while len(self._waiting) > _MOST_WAITING:
            if any(pending.urgent for pending in self._pending.values()):
                return  # the handler that everything waits for waits for us
            await self._changed.wait()

    async def _handle(self) -> None:
        self._handler_task = anyio.get_current_task().id
        try:
            while True:
                while not self._waiting:
                    await self._changed.wait()
                message = self._waiting.popleft()
                self._wake()
                if not message:
                    return
                await self._handle_one(message)
        except Exception as error:
            self._failure = error
        finally:
            self._end()

    async def _handle_one(self, message: Json) -> None:
        method, params = message.get("method"), message.get("params")
        params = params if isinstance(params, dict) else {}
        if not isinstance(method, str):
            pending = self._pending.get(message.get("id", 0))
            if pending is not None:
                _settle(pending, message)
        elif "id" in message:
            scope = self._answering[message["id"]] = anyio.CancelScope()
            self._tasks.start_soon(self._answer, message["id"], method, params, scope)
        elif method == "$/cancel_request":
            asked = params.get("requestId")
            if _is_id(asked) and asked in self._answering:
                self._answering[asked].cancel()
        elif method in self._notified:
            handled = self._notified[method](params)
            if inspect.iscoroutine(handled):
                await handled

    async def _answer(
        self, request_id: Any, method: str, params: Json, scope: anyio.CancelScope
    ) -> None:
        answer: Json = {"error": {"code": CANCELLED, "message": "The request was cancelled."}}
        failure: Exception | None = None
        with scope:
            try:
                handler = self._asked.get(method)
                if handler is None:
                    raise RequestFailed(METHOD_NOT_FOUND, f"{method} is not offered here.")
                answer = {"result": await handler(params)}
            except RequestFailed as error:
                answer = {"error": {"code": error.code, "message": str(error)}}
            except Exception as error:
                failure = error
                answer = {"error": {"code": INTERNAL_ERROR, "message": "The client failed."}}
            finally:
                del self._answering[request_id]
        with suppress(Exception):  # whatever ended the connection comes out of the requests
            await self._send({"id": request_id, **answer})
        if failure is not None:
            self._failure = failure
            self._end()

    def _end(self) -> None:
        self._ended.set()
        for scope in self._answering.values():
            scope.cancel()
        for pending in self._pending.values():
            if pending.answered.is_set():
                continue
            pending.error = self._failure or ConnectionLost()
            pending.answered.set()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


def _decoded(line: str | bytes) -> Json | None:
    """Return a message; None for what is none, which is passed over."""
    if isinstance(line, bytes):
        line = line.decode("utf-8", "replace")
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or not message or not _is_id(message.get("id")):
        return None
    return message


def _is_id(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def _settle(pending: _Pending, message: Json) -> None:
    if "error" in message:
        error = message["error"] if isinstance(message["error"], dict) else {}
        code, text = error.get("code", INTERNAL_ERROR), error.get("message", "No reason was given.")
        pending.error = RequestFailed(code, text, error.get("data"))
    else:
        pending.result = message.get("result")
    pending.answered.set()
