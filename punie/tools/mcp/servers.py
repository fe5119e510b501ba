"""MCP servers as they are configured, told in our own words; nothing heavy is imported here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, assert_never
from urllib.parse import urlsplit

Transport = Literal["stdio", "http", "sse"]


@dataclass(frozen=True)
class StdioServer:
    """A program that speaks MCP on its stdin and stdout.

    `environment` is added to what the session gives its servers; like the arguments, it may hold
    secrets and is never shown or logged.
    """

    name: str
    command: str
    arguments: Sequence[str] = field(default=(), repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class HttpServer:
    """A server behind Streamable HTTP; address and headers may hold secrets."""

    name: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class SseServer:
    """A server behind HTTP with server-sent events; address and headers may hold secrets."""

    name: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


McpServer = StdioServer | HttpServer | SseServer


@dataclass(frozen=True)
class UnusableServer:
    """An entry that cannot be tried at all; `reason` is a clause such as `its kind is unknown`."""

    name: str
    reason: str


def transport_of(server: McpServer) -> Transport:
    """Return the name of the way in which the server is reached."""
    match server:
        case StdioServer():
            return "stdio"
        case HttpServer():
            return "http"
        case SseServer():
            return "sse"
        case _:
            assert_never(server)


def host_of(url: str) -> str:
    """Return the host and port of an address, which is all of it that may be shown."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "its address"
    if ":" in host:
        host = f"[{host}]"
    return f"{host}:{port}" if port else host or "its address"


def is_web_address(url: str) -> bool:
    """Tell whether an address is one of a web server."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def is_loopback(url: str) -> bool:
    """Tell whether an address names this machine."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return host in ("localhost", "::1") or host.startswith("127.")
