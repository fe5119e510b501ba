"""The whole of `punie serve`: one process that serves until it is told to stop or is left alone."""

import os
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from punie import __version__
from punie.acp.host import AgentHost
from punie.acp.models import default_reference
from punie.logs.rotation import log_file
from punie.logs.setup import close_log, get_logger
from punie.models.catalog import ModelUnavailable, resolve_model
from punie.models.load import close_models
from punie.models.sharding.hosts import CannotShare, read_hosts
from punie.models.sharding.machines import Machines
from punie.server.access import LOOPBACK_NAMES, Access
from punie.server.app import build_app
from punie.server.connections import Connections
from punie.server.lines import LINE_LIMIT
from punie.server.metrics import Metrics
from punie.server.record import (
    AlreadyRunning,
    ServerRecord,
    new_token,
    page_address,
    process_start,
    read_record,
    remove_record,
    server_lock,
    write_record,
)
from punie.settings import Settings
from punie.workspace.processes import end_all_process_groups
from punie.workspace.text_files import reason

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_WIND_DOWN_SECONDS = 10.0
_LOOK_SECONDS = 0.2
_TELLING_SECONDS = 1.0
_log = get_logger(__name__)


class CannotServe(Exception):  # noqa: N818 - it names a state, as the user reads it
    """The server cannot start; the message is one sentence."""


@dataclass(frozen=True)
class ServeOptions:
    """How to serve. `idle_seconds` without a client end the server; None lets it stay.

    `certificate` and `key` are PEM files; `token` is one that the user chose. `hosts` is a file of
    machines that share the model.
    """

    host: str = "127.0.0.1"
    port: int = 0
    idle_seconds: float | None = None
    certificate: Path | None = None
    key: Path | None = None
    token: str | None = None
    hosts: Path | None = None


def serve(settings: Settings, options: ServeOptions, say: Callable[[str], None]) -> int:
    """Serve until a signal comes or nobody needs the server; return the exit code.

    Raises `CannotServe`.
    """
    _check(options)
    trouble = None
    try:
        with server_lock(settings.state_dir):
            remove_record(settings.state_dir)
            with _listening(options) as listener, _sharing(settings, options, say) as machines:
                trouble = anyio.run(_serve, settings, options, listener, machines, say)
            remove_record(settings.state_dir)
    except AlreadyRunning:
        raise CannotServe(_who_runs(settings)) from None
    except PermissionError as error:
        raise CannotServe(f"{settings.state_dir} cannot be used ({reason(error)}).") from error
    end_all_process_groups()
    close_log()
    return 0 if trouble is None else 1


@contextmanager
def _sharing(
    settings: Settings, options: ServeOptions, say: Callable[[str], None]
) -> Iterator[Machines | None]:
    """Start the machines that share the model; they end when the context is left."""
    if options.hosts is None:
        yield None
        return
    try:
        choice = resolve_model(settings.model)
        machines = Machines.start(read_hosts(options.hosts), choice, say)
    except (CannotShare, ModelUnavailable) as error:
        raise CannotServe(str(error)) from None
    try:
        yield machines
    finally:
        machines.close()


def _check(options: ServeOptions) -> None:
    if (options.certificate is None) != (options.key is None):
        raise CannotServe("--certificate and --key belong together.")
    if options.host not in LOOPBACK_NAMES:
        _check_open_to_others(options)
    if options.certificate is not None:
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
                options.certificate, options.key
            )
        except (ssl.SSLError, OSError) as error:
            raise CannotServe(f"the certificate cannot be used ({error}).") from error


def _check_open_to_others(options: ServeOptions) -> None:
    if options.certificate is None:
        raise CannotServe(
            f"{options.host} can be reached from other machines, so the connection must be "
            "encrypted: give --certificate and --key, or leave --host out."
        )
    if options.token is None:
        raise CannotServe(
            f"{options.host} can be reached from other machines, so choose a token yourself: "
            "give --token-file, or leave --host out."
        )


def _who_runs(settings: Settings) -> str:
    record = read_record(settings.state_dir)
    if record is None:
        return "another server is just starting or stopping; see `punie status`."
    return f"a server runs already, at {record.url} (process {record.pid}); see `punie status`."


@contextmanager
def _listening(options: ServeOptions) -> Iterator[socket.socket]:
    where = f"port {options.port} of {options.host}"
    try:
        family, _, _, _, address = socket.getaddrinfo(
            options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # asyncio sends at once (TCP_NODELAY) only where the protocol is named.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as error:
        raise CannotServe(f"{options.host} is no address of this machine ({error}).") from error
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(128)
        except OSError as error:
            raise CannotServe(
                f"{where} cannot be used ({reason(error)}); choose another one with --port."
            ) from error
        yield listener


class _WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol, with a way to drop a client that does not read."""

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            self.scope["state"]["abort"] = self.transport.abort


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to us: turns have to end before the connections do."""
        yield


async def _serve(
    settings: Settings,
    options: ServeOptions,
    listener: socket.socket,
    machines: Machines | None,
    say: Callable[[str], None],
) -> str | None:
    """Serve until something stops it; return what is wrong if that is a trouble."""
    stop = anyio.Event()
    port = listener.getsockname()[1]
    token = options.token or new_token()
    names = LOOPBACK_NAMES | {options.host}
    async with anyio.create_task_group() as tasks:
        host = AgentHost.start(settings, tasks, machines)
        metrics = Metrics(host)
        connections = Connections(host, metrics)
        log = log_file(settings.state_dir)
        app = build_app(connections, metrics, Access(token, port, names), tasks, log)
        server = _server(app, options)
        ended = anyio.Event()
        tasks.start_soon(_run_uvicorn, server, listener, ended)
        tasks.start_soon(_stop_on_signal, stop)
        if options.idle_seconds is not None:
            tasks.start_soon(_stop_when_idle, connections, options.idle_seconds, stop)
        if machines is not None:
            tasks.start_soon(_stop_when_lost, machines, stop)
            # The others have begun and wait; so does whoever comes first.
            host.models.begin(default_reference(settings.model))
        while not server.started and not ended.is_set():
            await anyio.sleep(0.01)
        record = _record(options, port)
        write_record(settings.state_dir, record, token)
        _log.info("serving", url=record.url)
        say(f"serving at {record.url} (process {record.pid}); `punie stop` ends it.")
        if sys.stderr.isatty():  # in a file it would stay
            say(f"its page: {page_address(record.url, token)}")
        await stop.wait()
        trouble = None if machines is None or not machines.lost.is_set() else machines.trouble
        if trouble is not None:
            say(trouble)
        remove_record(settings.state_dir)
        say("stopping; turns that run are cancelled.")
        with anyio.move_on_after(_WIND_DOWN_SECONDS):
            await connections.end_all()
        server.should_exit = True
        await ended.wait()
        tasks.cancel_scope.cancel()
    await host.aclose()
    await close_models()
    _log.info("stopped")
    return trouble


def _server(app: ASGIApp, options: ServeOptions) -> _Server:
    return _Server(
        uvicorn.Config(
            app,
            http="h11",
            ws=_WebSocketProtocol,
            ws_max_size=LINE_LIMIT,
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=2,
            ssl_certfile=options.certificate,
            ssl_keyfile=options.key,
        )
    )


async def _run_uvicorn(server: _Server, listener: socket.socket, ended: anyio.Event) -> None:
    try:
        await server.serve([listener])
    finally:
        ended.set()


async def _stop_on_signal(stop: anyio.Event) -> None:
    """Stop in order on the first signal, and at once on the second."""
    with anyio.open_signal_receiver(*_SIGNALS) as signals:
        async for _ in signals:
            if stop.is_set():
                end_all_process_groups(0.0)
                sys.stderr.flush()
                os._exit(1)
            stop.set()


async def _stop_when_lost(machines: Machines, stop: anyio.Event) -> None:
    """Stop when a machine is gone without which there is no model."""
    while not machines.lost.is_set():
        await anyio.sleep(_LOOK_SECONDS)
    # What runs is told why by the model itself.
    await anyio.sleep(_TELLING_SECONDS)
    stop.set()


async def _stop_when_idle(connections: Connections, seconds: float, stop: anyio.Event) -> None:
    while not stop.is_set():
        left = connections.idle_since + seconds - anyio.current_time()
        if not connections and left <= 0:
            _log.info("nobody has needed the server for a while")
            stop.set()
        await anyio.sleep(max(0.05, min(left, 5.0)))


def _record(options: ServeOptions, port: int) -> ServerRecord:
    scheme = "http" if options.certificate is None else "https"
    shown = f"[{options.host}]" if ":" in options.host else options.host
    return ServerRecord(
        pid=os.getpid(),
        started=process_start(os.getpid()) or "",
        url=f"{scheme}://{shown}:{port}",
        version=__version__,
        certificate=None if options.certificate is None else str(options.certificate),
    )
