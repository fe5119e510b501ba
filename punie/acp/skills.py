"""The skills of a session: found once, so that its system prompt stays the same."""

from typing import TYPE_CHECKING

from punie.acp.sessions import LiveSession
from punie.logs.setup import get_logger
from punie.settings import config_dir
from punie.tools.base import AnyTool

if TYPE_CHECKING:
    from punie.tools.skills.finding import Skills

_log = get_logger(__name__)


async def tools_of_skills(session: LiveSession) -> tuple[AnyTool, ...]:
    """Return the tool that reads the session's skills; nothing if it has none."""
    # Here, because no handshake waits for it.
    from punie.tools.skills.tool import skill_tools

    if session.skills is None:
        found = await find_skills_now(session)
        if session.skills is None:
            session.skills = found
            for trouble in found.troubles:
                _log.warning("a skill is left out", session=session.id, reason=trouble)
    return skill_tools(session.skills.skills)


async def find_skills_now(session: LiveSession) -> "Skills":
    """Return the skills that a session opened now would have."""
    from punie.tools.skills.finding import find_skills

    return await find_skills(session.workspace, config_dir())
