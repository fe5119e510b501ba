"""Serves one client over lines in and out, whatever carries them, until its input ends."""

from collections.abc import Callable
from typing import cast

import anyio
from acp import Agent, run_agent

from punie.acp.agent import PunieAgent
from punie.acp.host import AgentHost
from punie.acp.transport import AgentTransport, Inlet, Outlet, Tap
from punie.settings import Settings


async def serve_client(
    host: AgentHost,
    inlet: Inlet,
    outlet: Outlet,
    *,
    wind_down_seconds: float,
    settings: Settings | None = None,
    tap: Tap | None = None,
    on_start: Callable[[AgentTransport], None] | None = None,
) -> None:
    """Answer a client until its input ends; its turns are then cancelled, its sessions closed.

    `settings` are the client's own, else those of the host. Requests that are still open get up to
    `wind_down_seconds` to be answered. `on_start` is told the transport, whose `stop` ends the
    input early.
    """
    async with anyio.create_task_group() as tasks:

        async def wind_down() -> None:
            agent.cancel_all()
            with anyio.move_on_after(wind_down_seconds):
                while transport.has_open_requests:
                    await anyio.sleep(0.01)

        transport = AgentTransport(inlet, outlet, wind_down=wind_down, tap=tap)
        agent = PunieAgent(host, tasks, transport, settings or host.settings)
        if on_start is not None:
            on_start(transport)
        try:
            # The SDK's interface also lists methods that this agent does not have yet; those that
            # are absent are answered as unknown.
            await run_agent(cast(Agent, agent), transport, use_unstable_protocol=True)
        finally:
            with anyio.CancelScope(shield=True):
                await agent.aclose()
            tasks.cancel_scope.cancel()
