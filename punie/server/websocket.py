"""ACP over a WebSocket: one text frame is one message, as on a line of stdio."""

import contextlib
from collections.abc import Callable

import anyio
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from punie.server.access import ACP_PROTOCOL, refuse
from punie.server.connections import Connection, Connections, TooManyConnections
from punie.server.lines import SocketInlet, SocketOutlet
from punie.server.record import SETTINGS_HEADER
from punie.settings import SettingsError

CONNECTION_HEADER = "acp-connection-id"
_GOING_AWAY = 1001
_LAST_SECONDS = 1.0


async def serve_websocket(
    connections: Connections, scope: Scope, receive: Receive, send: Send
) -> None:
    """Serve the client of an ASGI `websocket` scope until it goes, or the server does."""
    if (await receive())["type"] != "websocket.connect":
        return
    try:
        own = Headers(scope=scope).get(SETTINGS_HEADER)
        with connections.admit("websocket", own) as connection:
            await _serve(connections, connection, scope, receive, send)
    except TooManyConnections:
        await refuse(scope, send, 503, "The server has as many clients as it takes.")
    except SettingsError as error:
        await refuse(scope, send, 400, str(error))


async def _serve(
    connections: Connections, connection: Connection, scope: Scope, receive: Receive, send: Send
) -> None:
    chosen = ACP_PROTOCOL if ACP_PROTOCOL in scope.get("subprotocols", ()) else None
    await send(
        {
            "type": "websocket.accept",
            "subprotocol": chosen,
            "headers": [(CONNECTION_HEADER.encode(), connection.id.encode())],
        }
    )
    abort: Callable[[], None] = scope["state"]["abort"]

    def broken() -> None:
        connection.inlet.stop()
        abort()

    async def send_line(data: bytes) -> None:
        await send({"type": "websocket.send", "text": data.rstrip(b"\n").decode()})

    outlet = SocketOutlet(send_line, broken)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_read, receive, connection.inlet, outlet)
        tasks.start_soon(outlet.run)
        await connections.serve(connection, outlet)
        # What the turns said at their end still goes out, if somebody is there.
        outlet.close()
        with anyio.move_on_after(_LAST_SECONDS):
            await outlet.finished.wait()
        with anyio.move_on_after(_LAST_SECONDS), contextlib.suppress(OSError, RuntimeError):
            await send({"type": "websocket.close", "code": _GOING_AWAY})
        tasks.cancel_scope.cancel()


async def _read(receive: Receive, inlet: SocketInlet, outlet: SocketOutlet) -> None:
    while True:
        message: Message = await receive()
        if message["type"] == "websocket.disconnect":
            outlet.break_off()
            inlet.stop()
            return
        text = message.get("text")
        await inlet.put(None if text is None else text.encode())
