"""Lets a session's model read ahead: what the next prompt begins with, while nobody waits."""

import anyio
import anyio.to_thread

from punie.acp.heavy import import_turn
from punie.acp.models import ModelPool
from punie.acp.sessions import LiveSession
from punie.acp.skills import tools_of_skills
from punie.logs.setup import get_logger
from punie.models.catalog import ModelUnavailable

_log = get_logger(__name__)


async def read_ahead(session: LiveSession, models: ModelPool, *, after_turn: bool) -> None:
    """Open the session's model and let it read what the session's next prompt begins with.

    Before the first turn that is the system prompt with the tools; `after_turn` it is the
    conversation too. It ends with the session, and when it is begun anew. Trouble is left to the
    next turn, which tells the person.
    """
    with anyio.CancelScope() as scope:
        if session.reading is not None:
            session.reading.cancel()
        session.reading = scope
        try:
            await _read(session, models, after_turn=after_turn)
        except ModelUnavailable:
            return
        except Exception:
            _log.exception("nothing was read ahead", session=session.id)


async def _read(session: LiveSession, models: ModelPool, *, after_turn: bool) -> None:
    model = await models.get(session.model, _say_nothing)
    if session.mcp is not None:
        await session.mcp.settle()
    await anyio.to_thread.run_sync(import_turn, abandon_on_cancel=True)
    if _is_asked(session):
        return  # Asked already, as by a client that has just one prompt.
    from punie.agent.budget import context_window
    from punie.agent.journal import PastTurns
    from punie.agent.toolset import turn_parameters
    from punie.agent.turn_config import model_settings, turn_tools, web_tools
    from punie.models.streaming import ModelUse

    more = () if session.mcp is None else await session.mcp.tools(context_window(model))
    own = web_tools(session.settings)
    skills = await tools_of_skills(session)
    tools = turn_tools(
        (*own, *more, *skills),
        attended=session.profile.attended,
        code_mode=session.settings.code_mode,
    )
    parameters = turn_parameters(tools)
    if _is_asked(session):
        return  # Its prompt is among the events, and the turn itself takes it into the past.
    past = PastTurns()
    if after_turn:
        past = session.past = session.past or past
        past.catch_up(tuple(session.events))
    reader = model.used_by(ModelUse(owner=session.id, watched=False))
    await reader.read_ahead(past.history.messages(), model_settings(session.thinking), parameters)
    _log.info("read ahead", session=session.id)


def _is_asked(session: LiveSession) -> bool:
    return session.turn is not None


async def _say_nothing(_: str) -> None:
    return
