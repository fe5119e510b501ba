"""Lets a session's model read the system prompt with the tools before the first prompt comes."""

import anyio.to_thread

from punie.acp.heavy import import_turn
from punie.acp.models import ModelPool
from punie.acp.sessions import LiveSession
from punie.logs.setup import get_logger
from punie.models.catalog import ModelUnavailable

_log = get_logger(__name__)


async def warm_up(session: LiveSession, models: ModelPool) -> None:
    """Open the session's model and let it read what every prompt of the session begins with.

    Trouble is left to the first turn, which tells the person.
    """
    try:
        model = await models.get(session.model, _say_nothing)
        if session.mcp is not None:
            await session.mcp.settle()
        await anyio.to_thread.run_sync(import_turn, abandon_on_cancel=True)
        from punie.agent.budget import context_window
        from punie.agent.toolset import turn_parameters
        from punie.agent.turn_config import turn_tools

        more = () if session.mcp is None else await session.mcp.tools(context_window(model))
        await model.warm_up(turn_parameters(turn_tools(more, attended=True)))
    except ModelUnavailable:
        return
    except Exception:
        _log.exception("the system prompt was not read ahead", session=session.id)


async def _say_nothing(_: str) -> None:
    return
