"""An agent in this very process, spoken to as one that runs elsewhere."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from punie.acp.sdk import import_schema
from punie.client.acp_socket import AcpSocket
from punie.client.lines import AgentEnd, memory_pair
from punie.settings import Settings

_WIND_DOWN_SECONDS = 5.0


@asynccontextmanager
async def agent_in_process(settings: Settings) -> AsyncIterator[AcpSocket]:
    """Run an agent for the time of the context; what it opened is closed at its end."""
    import_schema()
    from punie.acp.host import AgentHost
    from punie.acp.serving import serve_client

    failure: Exception | None = None
    lines, end = memory_pair()
    served = anyio.Event()

    async def serve(host: AgentHost, end: AgentEnd) -> None:
        try:
            await serve_client(host, end, end, wind_down_seconds=_WIND_DOWN_SECONDS)
        finally:
            end.end()
            served.set()

    async with anyio.create_task_group() as tasks:
        host = AgentHost.start(settings, tasks)
        tasks.start_soon(serve, host, end)
        try:
            async with AcpSocket.over(lines) as agent:
                yield agent
        except Exception as error:
            failure = error  # as it is, not in the group that the tasks would make of it
        finally:
            with anyio.CancelScope(shield=True):
                lines.close()
                await served.wait()
            tasks.cancel_scope.cancel()
    with anyio.CancelScope(shield=True):
        await host.aclose()
        await _close_models()
    if failure is not None:
        raise failure


async def _close_models() -> None:
    from punie.models.load import close_models

    await close_models()
