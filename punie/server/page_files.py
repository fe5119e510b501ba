"""The page: three files and two addresses. It shows what goes on, and can stop a turn.

It holds nothing itself; what it shows it asks for with the token. Whatever may run is decided in
the front end where the question is, not here.
"""

import json
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from punie.server.connections import Connections
from punie.server.live_stream import MOST_WATCHERS, watch
from punie.server.metrics import Metrics

_FOLDER = Path(__file__).with_name("page")
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
}
_HEADERS = {
    # Nothing but these files runs or is loaded, from nowhere else, and no page may frame this one.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}
_CANCEL_LIMIT = 10_000


def page_routes(connections: Connections, metrics: Metrics, log_file: Path) -> list[Route]:
    """Return the routes of the page and of what it asks for."""

    async def file(request: Request) -> Response:
        name, kind = _FILES[request.url.path]
        # Read each time: three small files, seldom asked for.
        return Response((_FOLDER / name).read_bytes(), media_type=kind, headers=_HEADERS)

    async def live(_: Request) -> Response:
        if connections.live.watchers >= MOST_WATCHERS:
            return _refused(503, "The server has as many watchers as it takes.")
        return StreamingResponse(
            watch(connections.live, metrics.for_page, log_file),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-content-type-options": "nosniff"},
        )

    async def cancel(request: Request) -> Response:
        session_id = await _session_in(request)
        if session_id is None:
            return _refused(400, 'The body must be JSON such as {"session": "…"}.')
        if not await connections.cancel_turn(session_id):
            return _refused(404, "No client has that session open.")
        return Response(status_code=202)

    return [
        *(Route(path, file) for path in _FILES),
        Route("/live", live),
        Route("/live/cancel", cancel, methods=["POST"]),
    ]


async def _session_in(request: Request) -> str | None:
    # A form, which another page could post without asking, has no such type.
    if request.headers.get("content-type") != "application/json":
        return None
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _CANCEL_LIMIT:
            return None
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    session_id = value.get("session") if isinstance(value, dict) else None
    return session_id if isinstance(session_id, str) else None


def _refused(status: int, sentence: str) -> Response:
    return JSONResponse({"error": sentence}, status, headers={"cache-control": "no-store"})
