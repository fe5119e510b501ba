"""Which server is meant, and with which token: the user's own one, or one at an address."""

import os
from pathlib import Path
from urllib.parse import urlsplit

from punie.client.finding import Server, ServerUnavailable, ensure_server, running_server

TOKEN_VARIABLE = "PUNIE_SERVER_TOKEN"
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


async def find_server(
    url: str | None, state_dir: Path, *, token: str | None = None, certificate: Path | None = None
) -> Server:
    """Return the server at `url`, or the user's own where that is None; it is started if need be.

    The token is the one that is given, else that of PUNIE_SERVER_TOKEN, else, if the address is
    that of the user's own server, the one in its state folder: it goes nowhere else. Raises
    `ServerUnavailable`.
    """
    if url is None:
        own = await ensure_server(state_dir)
        return Server(own.url, token or own.token, own.version, own.certificate)
    address = socket_address(url)
    own_running = running_server(state_dir)
    is_own = own_running is not None and own_running.url == address
    given = token or os.environ.get(TOKEN_VARIABLE)
    if own_running is not None and is_own:
        certificate = certificate or own_running.certificate
        given = given or own_running.token
    if given is None:
        raise ServerUnavailable(
            f"The server at {url} is not the one of {state_dir}: its token has to be given "
            f"(in {TOKEN_VARIABLE})."
        )
    return Server(address, given, "", certificate)


def socket_address(url: str) -> str:
    """Return the address of the WebSocket of a server: `http://127.0.0.1:4711` will do as well.

    Raises `ServerUnavailable` for what is no address.
    """
    try:
        parts = urlsplit(url)
        scheme, port = _SCHEMES[parts.scheme], parts.port
    except (ValueError, KeyError):
        raise ServerUnavailable(f"{url} is no address such as http://127.0.0.1:4711.") from None
    if not parts.hostname:
        raise ServerUnavailable(f"{url} names no host.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = host if port is None else f"{host}:{port}"
    return f"{scheme}://{place}{parts.path.rstrip('/') or '/acp'}"
