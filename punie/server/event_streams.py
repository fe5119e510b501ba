"""ACP over Streamable HTTP: the client posts its messages, and reads ours from event streams.

Source: the protocol's RFD "Streamable HTTP & WebSocket Transport". `initialize` is answered in the
response of its own POST, everything else with 202 and, later, on a stream: one for the connection
and one for each session. A session's messages go to its own stream as soon as the client has
opened that; while it is being loaded all stay on the stream on which they began, because nothing
orders two streams.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import TaskGroup, TaskStatus
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from punie.server.connections import Connection, Connections, TooManyConnections
from punie.server.lines import LINE_LIMIT, SocketOutlet
from punie.server.websocket import CONNECTION_HEADER

SESSION_HEADER = "acp-session-id"
_KEEP_ALIVE_SECONDS = 15.0
_WITHOUT_STREAM_SECONDS = 30.0
_INITIALIZE_SECONDS = 30.0
_MOST_STREAMS = 200
_OPENING = frozenset({"session/load", "session/resume"})
_CREATING = frozenset({"session/new", "session/fork"})


@dataclass(eq=False)
class _Stream:
    """One stream of events; `readers` counts the requests that read it.

    Whoever closes `end` ends it.
    """

    outlet: SocketOutlet
    lines: MemoryObjectReceiveStream[bytes]
    end: MemoryObjectSendStream[bytes]
    readers: int = 0
    opened: bool = False


@dataclass(eq=False)
class _HttpClient:
    """One client: its streams, and what its open requests are about.

    `requests` holds, by id, the method and session of each open request; `own` are the sessions
    whose messages go to their own stream, `loading` those that are just being opened.
    """

    connection: Connection
    tasks: TaskGroup
    streams: dict[str | None, _Stream] = field(default_factory=dict)
    requests: dict[Any, tuple[str, str | None]] = field(default_factory=dict)
    own: set[str] = field(default_factory=set)
    loading: set[str] = field(default_factory=set)
    initialize: dict[Any, anyio.Event] = field(default_factory=dict)
    answers: dict[Any, bytes] = field(default_factory=dict)

    def stream(self, session_id: str | None) -> _Stream:
        """Return a stream, which is made when it is first needed."""
        stream = self.streams.get(session_id)
        if stream is None:
            send, receive = anyio.create_memory_object_stream[bytes]()
            stream = _Stream(SocketOutlet(send.send, self.connection.inlet.stop), receive, send)
            self.streams[session_id] = stream
            self.tasks.start_soon(stream.outlet.run)
        return stream

    async def write(self, data: bytes) -> None:
        """Write a message of the agent to the stream that it belongs to, and wait until it is."""
        outlet = self._outlet(data)
        if outlet is not None:
            await outlet.write(data)

    def post(self, data: bytes) -> None:
        """The same without waiting."""
        outlet = self._outlet(data)
        if outlet is not None:
            outlet.post(data)

    def note_request(self, message: dict[str, Any]) -> None:
        """Remember what the client asks, for the way of the answer."""
        method, params = message.get("method"), message.get("params")
        named = params.get("sessionId") if isinstance(params, dict) else None
        session_id = named if isinstance(named, str) else None
        if isinstance(method, str) and _is_id(message.get("id")) and "id" in message:
            self.requests.setdefault(message["id"], (method, session_id))
            if method in _OPENING and session_id is not None:
                self.loading.add(session_id)

    def _outlet(self, data: bytes) -> SocketOutlet | None:
        message = json.loads(data)
        if "method" in message:
            return self._of_session(message["params"].get("sessionId")).outlet
        request_id = message.get("id")
        waiting = self.initialize.pop(request_id, None)
        if waiting is not None:
            self.answers[request_id] = data
            waiting.set()
            return None
        method, session_id = self.requests.pop(request_id, ("", None))
        if method in _CREATING:
            created = (message.get("result") or {}).get("sessionId")
            if created is not None:
                self.own.add(created)
            return self.stream(None).outlet
        stream = self._of_session(session_id)
        if method in _OPENING and session_id is not None:
            self.loading.discard(session_id)
            if session_id in self.streams and self.streams[session_id].opened:
                self.own.add(session_id)
        return stream.outlet

    def _of_session(self, session_id: str | None) -> _Stream:
        return self.stream(session_id if session_id in self.own else None)

    def opened_stream(self, session_id: str | None) -> _Stream:
        """Return a stream for a client that now reads it."""
        stream = self.stream(session_id)
        stream.opened = True
        if session_id is not None and session_id not in self.loading:
            self.own.add(session_id)
        return stream


class EventStreams:
    """Answers the three HTTP methods of the protocol's address."""

    def __init__(self, connections: Connections, tasks: TaskGroup) -> None:
        self._connections = connections
        self._tasks = tasks
        self._clients: dict[str, _HttpClient] = {}

    async def post(self, request: Request) -> Response:
        """Take one message."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            return _error(415, "The content type must be application/json.")
        body = await read_body(request)
        if body is None:
            return _error(413, "The message is too large.")
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            return _error(400, "The body is not valid JSON.")
        if isinstance(message, list):
            return _error(501, "Batches are not part of this protocol.")
        if not isinstance(message, dict):
            return _error(400, "A message must be a JSON object.")
        if message.get("method") == "initialize" and "id" in message:
            return await self._initialize(message, body)
        client = self._client(request)
        if isinstance(client, Response):
            return client
        params = message.get("params")
        named = params.get("sessionId") if isinstance(params, dict) else None
        if named is not None and request.headers.get(SESSION_HEADER, named) != named:
            return _error(400, "The header Acp-Session-Id names another session than the message.")
        client.note_request(message)
        await client.connection.inlet.put(body)
        return Response(status_code=202)

    async def get(self, request: Request) -> Response:
        """Open a stream of events: the connection's, or the one of the session that is named."""
        accepted = request.headers.get("accept", "*/*")
        if "text/event-stream" not in accepted and "*/*" not in accepted:
            return _error(406, "The stream is text/event-stream.")
        client = self._client(request)
        if isinstance(client, Response):
            return client
        session_id = request.headers.get(SESSION_HEADER)
        if session_id not in client.streams and len(client.streams) >= _MOST_STREAMS:
            return _error(429, "The connection has as many streams as it may have.")
        stream = client.opened_stream(session_id)
        if stream.readers:
            return _error(409, "That stream is open already.")
        return StreamingResponse(
            _events(stream, client.connection),
            media_type="text/event-stream",
            headers={"cache-control": "no-store"},
        )

    async def delete(self, request: Request) -> Response:
        """End a connection; its turns are cancelled."""
        client = self._client(request)
        if isinstance(client, Response):
            return client
        # Nothing more is taken for it, while what it still says goes out.
        del self._clients[client.connection.id]
        client.connection.inlet.stop()
        return Response(status_code=202)

    def _client(self, request: Request) -> _HttpClient | Response:
        connection_id = request.headers.get(CONNECTION_HEADER)
        if connection_id is None:
            return _error(400, "The header Acp-Connection-Id is missing.")
        client = self._clients.get(connection_id)
        return client or _error(404, "There is no such connection; it has to begin anew.")

    async def _initialize(self, message: dict[str, Any], body: bytes) -> Response:
        request_id = message["id"]
        if not _is_id(request_id):
            return _error(400, "The id must be a string, a number or null.")
        try:
            client: _HttpClient = await self._tasks.start(self._run)
        except TooManyConnections:
            return _error(503, "The server has as many clients as it takes.")
        answered = client.initialize[request_id] = anyio.Event()
        await client.connection.inlet.put(body)
        with anyio.move_on_after(_INITIALIZE_SECONDS):
            await answered.wait()
        answer = client.answers.pop(request_id, None)
        if answer is None:
            client.connection.inlet.stop()
            return _error(504, "The agent did not answer.")
        return Response(
            answer,
            media_type="application/json",
            headers={CONNECTION_HEADER: client.connection.id},
        )

    async def _run(self, *, task_status: TaskStatus[_HttpClient]) -> None:
        """Be one client's connection, from its first message until it goes."""
        with self._connections.admit("http") as connection:
            async with anyio.create_task_group() as tasks:
                client = _HttpClient(connection, tasks)
                self._clients[connection.id] = client
                task_status.started(client)
                try:
                    tasks.start_soon(_end_without_reader, client)
                    await self._connections.serve(connection, client)
                finally:
                    self._clients.pop(connection.id, None)
                    tasks.cancel_scope.cancel()
            for stream in client.streams.values():
                stream.end.close()


async def read_body(request: Request) -> bytes | None:
    """Return the body of a request, or None if it is longer than a message may be."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > LINE_LIMIT:
            return None
        parts.append(part)
    return b"".join(parts)


async def _events(stream: _Stream, connection: Connection) -> AsyncIterator[bytes]:
    stream.readers += 1
    try:
        # Sent at once, so that the client knows that it is heard.
        yield b": open\n\n"
        while not connection.over.is_set():
            line: bytes | None = None
            with anyio.move_on_after(_KEEP_ALIVE_SECONDS):
                line = await stream.lines.receive()
            yield b": here\n\n" if line is None else b"data: " + line + b"\n"
    except anyio.EndOfStream:
        return
    finally:
        stream.readers -= 1


async def _end_without_reader(client: _HttpClient) -> None:
    """End a connection whose client reads no stream for a while: it has gone."""
    unread = 0.0
    while unread < _WITHOUT_STREAM_SECONDS:
        await anyio.sleep(1.0)
        read = any(stream.readers for stream in client.streams.values())
        unread = 0.0 if read else unread + 1.0
    client.connection.inlet.stop()


def _is_id(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def _error(status: int, sentence: str) -> Response:
    return JSONResponse({"error": sentence}, status, headers={"cache-control": "no-store"})
