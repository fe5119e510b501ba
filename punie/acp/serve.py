"""The whole of `punie acp` in one process: serves one client on stdin and stdout."""

from functools import partial

import anyio

from punie.acp.host import AgentHost
from punie.acp.serving import serve_client
from punie.acp.transport import AgentTransport
from punie.logs.setup import close_log, get_logger
from punie.settings import Settings
from punie.wire.inlet import PipeInlet
from punie.wire.lifeline import Lifeline
from punie.wire.outlet import PipeOutlet
from punie.wire.process import run_on_stdio, stop_at_end
from punie.wire.stdio import ProtocolFiles

_WIND_DOWN_SECONDS = 0.35
_log = get_logger(__name__)


def serve(settings: Settings) -> int:
    """Serve until stdin ends, a signal comes or the client dies; this ends the process."""
    return run_on_stdio(
        partial(_serve, settings),
        on_failure=lambda: _log.exception("serving failed"),
        close=close_log,
    )


async def _serve(settings: Settings, files: ProtocolFiles, lifeline: Lifeline) -> int:
    def started(transport: AgentTransport) -> None:
        stop_at_end(lifeline, transport.stop)

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
    return 0
