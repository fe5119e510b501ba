"""Finds the user's server, or starts it, and opens a connection to it."""

import json
import os
import ssl
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import anyio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI

from punie import __version__
from punie.server.record import SETTINGS_HEADER, is_locked, read_record, read_token, server_folder
from punie.settings import environment_of_server

MESSAGE_LIMIT = 64 * 1024 * 1024
"""Bytes of one message of the server."""

_START_SECONDS = 30.0
_OPEN_SECONDS = 10.0
_STEP_SECONDS = 0.05
_PING_SECONDS = 20.0
_OUTPUT_LIMIT = 1024 * 1024


class ServerUnavailable(Exception):  # noqa: N818 - it names a state, as the user reads it
    """There is no server to talk to; the message is one sentence."""


class NoServerPossible(ServerUnavailable):
    """There is no server to talk to, and waiting does not help."""


@dataclass(frozen=True)
class Server:
    """A running server: `url` is the address of its WebSocket, `version` that of its Punie."""

    url: str
    token: str
    version: str
    certificate: Path | None = None


def running_server(state_dir: Path) -> Server | None:
    """Return the server that runs on this state folder, if there is one."""
    record = read_record(state_dir)
    token = read_token(state_dir)
    if record is None or token is None:
        return None
    certificate = None if record.certificate is None else Path(record.certificate)
    url = record.url.replace("http", "ws", 1) + "/acp"
    return Server(url, token, record.version, certificate)


async def ensure_server(state_dir: Path, seconds: float = _START_SECONDS) -> Server:
    """Return the running server; one is started if there is none, which may take `seconds`.

    Raises `ServerUnavailable`. Several clients may do so at once: one server wins the lock, the
    others' attempts end by themselves, and all use the winner.
    """
    started: subprocess.Popen[bytes] | None = None
    with anyio.move_on_after(seconds):
        while True:
            server = running_server(state_dir)
            if server is not None:
                return _of_our_version(server)
            if not is_locked(state_dir):
                if started is None:
                    started = await anyio.to_thread.run_sync(_start, state_dir)
                elif started.poll() is not None:
                    break
            await anyio.sleep(_STEP_SECONDS)
    raise ServerUnavailable(_why_not(state_dir))


async def open_connection(
    server: Server, *, settings: Mapping[str, str] | None = None
) -> ClientConnection:
    """Connect to a server; raise `ServerUnavailable` with what to do.

    `settings` hold for this client, before those of the server.
    """
    context = None
    headers = {"Authorization": f"Bearer {server.token}"}
    if settings:
        headers[SETTINGS_HEADER] = json.dumps(dict(settings))
    try:
        if server.url.startswith("wss"):
            context = ssl.create_default_context(cafile=server.certificate)
        with anyio.fail_after(_OPEN_SECONDS):
            return await connect(
                server.url,
                additional_headers=headers,
                max_size=MESSAGE_LIMIT,
                compression=None,
                proxy=None,
                ssl=context,
                open_timeout=None,
                # On this machine the system tells when the server has gone; one that is merely
                # busy, or was asleep with the machine, is waited for.
                ping_interval=None if context is None else _PING_SECONDS,
            )
    except InvalidStatus as error:
        status = error.response.status_code
        if status == 401:
            raise ServerUnavailable("The server does not take our token.") from error
        if status == 503:
            raise ServerUnavailable("The server has as many clients as it takes.") from error
        if status == 400:
            raise NoServerPossible(_sentence(error.response.body)) from error
        raise ServerUnavailable(f"The server refused the connection ({status}).") from error
    except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as error:
        raise ServerUnavailable(f"The server at {server.url} does not answer.") from error


def _sentence(body: bytes | bytearray | None) -> str:
    try:
        return str(json.loads(body or b"")["error"])
    except (ValueError, TypeError, KeyError):
        return "The server does not take the settings of this client."


def _of_our_version(server: Server) -> Server:
    if server.version != __version__:
        raise NoServerPossible(
            f"The server that runs is Punie {server.version}, this is {__version__}; "
            "`punie stop` ends it, and the next client starts the right one."
        )
    return server


def _start(state_dir: Path) -> "subprocess.Popen[bytes]":
    """Start `punie serve`, which outlives us and everything that ends with us."""
    file = _output_file(state_dir)
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        too_long = file.exists() and file.stat().st_size > _OUTPUT_LIMIT
        with file.open("wb" if too_long else "ab") as output:
            return subprocess.Popen(
                [*punie_program(), "serve", "--state-dir", str(state_dir)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=file.parent,
                env=environment_of_server(os.environ),
                start_new_session=True,
            )
    except (FileExistsError, FileNotFoundError, NotADirectoryError, PermissionError) as error:
        reason = (error.strerror or str(error)).lower()
        sentence = f"The server cannot be started ({reason}: {file})."
        raise NoServerPossible(sentence) from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ServerUnavailable(f"The server cannot be started ({reason}: {file}).") from error


def _output_file(state_dir: Path) -> Path:
    return server_folder(state_dir) / "output"


def _why_not(state_dir: Path) -> str:
    if is_locked(state_dir):
        return "A server is starting or stopping and does not get on; `punie stop` looks after it."
    file = _output_file(state_dir)
    try:
        *_, last = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except (OSError, ValueError):
        last = ""
    sentence = last.removeprefix("punie: ").rstrip(".")
    said = f" ({sentence})" if last != sentence else ""
    return f"The server did not start{said}; {file} has all that it said."


def punie_program() -> list[str]:
    """Return how the very Punie that asks is started: its version must be ours, not PATH's."""
    beside = Path(sys.executable).with_name("punie")
    if beside.exists():
        return [str(beside)]
    return [sys.executable, "-c", "from punie.cli.main import main; raise SystemExit(main())"]
