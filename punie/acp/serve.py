"""The whole of `punie acp`: serves one client on stdin and stdout until it goes away."""

import contextlib
import sys
from typing import NoReturn

import anyio
from anyio import from_thread, lowlevel

from punie.acp.host import AgentHost
from punie.acp.serving import serve_client
from punie.acp.transport import AgentTransport
from punie.logs.setup import close_log, get_logger
from punie.settings import Settings
from punie.wire.inlet import PipeInlet
from punie.wire.lifeline import Lifeline
from punie.wire.outlet import PipeOutlet
from punie.wire.stdio import ProtocolFiles, take_stdio

_WIND_DOWN_SECONDS = 0.35
_log = get_logger(__name__)


def serve(settings: Settings) -> int:
    """Serve until stdin ends, a signal comes or the client dies; this ends the process."""
    try:
        files = take_stdio()
    except OSError:
        print("punie acp speaks its protocol on stdin and stdout; one is closed.", file=sys.stderr)
    else:
        _serve_and_exit(settings, files)
    return 2


def _serve_and_exit(settings: Settings, files: ProtocolFiles) -> NoReturn:
    lifeline = Lifeline(files.outgoing)
    lifeline.start()
    code: int | None = None
    try:
        anyio.run(_serve, settings, files, lifeline)
    except BaseException:
        _log.exception("serving failed")
        code = None if lifeline.ending else 1
    lifeline.end()
    with contextlib.suppress(Exception):
        close_log()
    # Not a return: threads of the model or a blocked pipe would hold the interpreter back.
    lifeline.exit(code)


async def _serve(settings: Settings, files: ProtocolFiles, lifeline: Lifeline) -> None:
    loop = lowlevel.current_token()

    def started(transport: AgentTransport) -> None:
        def stop() -> None:
            with contextlib.suppress(RuntimeError):
                from_thread.run_sync(transport.stop, token=loop)

        lifeline.on_end(stop)

    async with anyio.create_task_group() as tasks:
        host = AgentHost.start(settings, tasks)
        await serve_client(
            host,
            PipeInlet(files.incoming, lifeline.end),
            PipeOutlet(files.outgoing, lifeline.end),
            wind_down_seconds=_WIND_DOWN_SECONDS,
            on_start=started,
        )
        tasks.cancel_scope.cancel()
    await host.aclose()
