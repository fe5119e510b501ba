"""/skills: the instructions for kinds of work that the model can read."""

from punie.acp.commands.context import CommandContext
from punie.acp.skills import find_skills_now
from punie.tools.skills.finding import PROJECT_FOLDERS, Skill
from punie.tools.wording import cut, in_backticks

_DESCRIPTION_CHARS = 200


async def skills(context: CommandContext) -> str:
    """List the skills there are, and what looks like one and is none."""
    session = context.session
    found = await find_skills_now(session)
    lines: list[str] = []
    if found.skills:
        lines += ["The model can read these skills when it comes to that:", ""]
        lines += map(_line, found.skills)
    else:
        places = " or ".join(f"`{folder}/NAME/SKILL.md`" for folder in PROJECT_FOLDERS)
        lines.append(f"There are no skills; put one into {places}.")
    if found.troubles:
        lines += ["", *(f"- {trouble}" for trouble in found.troubles)]
    if session.skills is not None and _offered(found.skills) != _offered(session.skills.skills):
        lines += ["", "They have changed; a new session is told of them as they are now."]
    return "\n".join(lines)


def _line(skill: Skill) -> str:
    description = cut(skill.description, _DESCRIPTION_CHARS)
    return f"- {in_backticks(skill.name)} ({in_backticks(skill.place)}): {description}"


def _offered(skills: tuple[Skill, ...]) -> list[tuple[str, str]]:
    return [(skill.name, skill.description) for skill in skills]
