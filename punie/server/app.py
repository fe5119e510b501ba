"""The addresses that the server answers, put together."""

from pathlib import Path

from anyio.abc import TaskGroup
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from punie import __version__
from punie.server.access import Access, AccessControl
from punie.server.connections import Connections
from punie.server.event_streams import EventStreams
from punie.server.metrics import Metrics
from punie.server.page_files import page_routes
from punie.server.websocket import serve_websocket

ACP_PATH = "/acp"


def build_app(
    connections: Connections, metrics: Metrics, access: Access, tasks: TaskGroup, log_file: Path
) -> ASGIApp:
    """Return the application; connections over plain HTTP live in `tasks`."""
    streams = EventStreams(connections, tasks)

    async def acp(request: Request) -> Response:
        match request.method:
            case "POST":
                return await streams.post(request)
            case "DELETE":
                return await streams.delete(request)
            case _:
                return await streams.get(request)

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok", "version": __version__})

    async def status(_: Request) -> Response:
        return JSONResponse(metrics.summary())

    async def numbers(_: Request) -> Response:
        return PlainTextResponse(
            metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8"
        )

    class WebSocketApp:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await serve_websocket(connections, scope, receive, send)

    return Starlette(
        routes=[
            WebSocketRoute(ACP_PATH, WebSocketApp()),
            Route(ACP_PATH, acp, methods=["GET", "POST", "DELETE"]),
            Route("/health", health),
            Route("/status", status),
            Route("/metrics", numbers),
            *page_routes(connections, metrics, log_file),
        ],
        middleware=[Middleware(AccessControl, access=access)],
    )
