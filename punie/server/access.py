"""Who may talk to the server: the token, and never a web page that merely runs on the machine.

Three checks, each before anything else is done with a request: the Host header must name this
server (a page whose own name was pointed at the loopback address sends another one), an Origin
must be this server's own (browsers always say where a page comes from), and the token must be
right. A browser cannot set headers on a WebSocket, so there the token may also come as the
subprotocol `punie.token.TOKEN` beside `acp`.
"""

import hmac
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

TOKEN_PROTOCOL = "punie.token."
ACP_PROTOCOL = "acp"
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


@dataclass(frozen=True)
class Access:
    """What is let in. `hosts` are names, without a port, under which the server is reached."""

    token: str
    port: int
    hosts: Collection[str] = LOOPBACK_NAMES

    def refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Return the status and a sentence if the request must not go on."""
        headers = Headers(scope=scope)
        if not self._is_ours(f"//{headers.get('host', '')}", scope["scheme"]):
            return 421, "This server does not answer under that name."
        origin = headers.get("origin")
        if origin is not None and not self._is_ours(origin, scope["scheme"]):
            return 403, "Requests of web pages from elsewhere are not taken."
        if scope["path"] in _OPEN_PATHS:
            return None
        given = _given_token(headers, scope)
        if given is None:
            return 401, "A token is needed; `punie status` says where it is."
        if not hmac.compare_digest(given.encode(), self.token.encode()):
            return 401, "The token is not the one of this server; it may have been restarted."
        return None

    def _is_ours(self, address: str, scheme: str) -> bool:
        try:
            parts = urlsplit(address)
            port = parts.port or _PORTS[parts.scheme or scheme]
        except (ValueError, KeyError):
            return False
        return parts.hostname in self.hosts and port == self.port


# The page itself holds nothing; what it shows it has to ask for, with the token.
_OPEN_PATHS = frozenset({"/", "/page.js", "/page.css", "/health"})


class AccessControl:
    """The outermost layer of the application: what `Access` refuses goes no further."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through or answer it with one sentence."""
        refusal = self._access.refusal(scope) if scope["type"] in ("http", "websocket") else None
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await refuse(scope, send, *refusal)


async def refuse(scope: Scope, send: Send, status: int, sentence: str) -> None:
    """Answer a request, or the request for a WebSocket, with a status and one sentence."""
    kind = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
    headers: Mapping[str, str] = {
        "content-type": "application/json",
        "cache-control": "no-store",
        **({"www-authenticate": "Bearer"} if status == 401 else {}),
    }
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    body = json.dumps({"error": sentence}).encode()
    await send({"type": f"{kind}.start", "status": status, "headers": raw})
    await send({"type": f"{kind}.body", "body": body})


def _given_token(headers: Headers, scope: Scope) -> str | None:
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and value:
        return value.strip()
    for name in scope.get("subprotocols", ()):
        if name.startswith(TOKEN_PROTOCOL):
            return str(name.removeprefix(TOKEN_PROTOCOL))
    return None
