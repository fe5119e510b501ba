"""skill: the instructions of one of the session's skills."""

from collections.abc import Mapping, Sequence
from typing import Any

from punie.tools.base import AnyTool, Tool, ToolArguments, ToolContext, ToolError, ToolResult
from punie.tools.guards import workspace_errors
from punie.tools.presentation import Location, Presentation
from punie.tools.skills.finding import SKILL_FILE, Skill
from punie.tools.skills.frontmatter import FrontmatterError, read_document
from punie.tools.wording import count, cut, fitting_rows
from punie.workspace.base import WorkspaceError
from punie.workspace.secret_files import is_secret_path

DESCRIPTION_CHARS = 120
"""Characters of a skill's description that the model reads in every request."""

ALL_DESCRIPTIONS_CHARS = 1_500
"""Characters of all descriptions together; skills beyond that are offered by name alone."""

_DESCRIPTION = "Read a skill before what it is for."
_MOST_FILES = 40
_LARGEST_TRAILER = 400


class SkillArguments(ToolArguments):
    """Which skill, and perhaps which of its files."""

    name: str
    file: str | None = None


def skill_tools(skills: Sequence[Skill]) -> tuple[AnyTool, ...]:
    """Return the tool that reads these skills; nothing if there are none."""
    if not skills:
        return ()
    known = {skill.name: skill for skill in skills}

    def pick(arguments: SkillArguments) -> Skill:
        skill = known.get(arguments.name)
        if skill is None:
            raise ToolError(f"there is no such skill; the skills are {', '.join(known)}")
        return skill

    async def present(context: ToolContext, arguments: SkillArguments) -> Presentation:
        return _presentation(pick(arguments), arguments.file)

    async def run(context: ToolContext, arguments: SkillArguments) -> ToolResult:
        skill = pick(arguments)
        limit = context.limits.result_chars
        if arguments.file is not None and arguments.file != SKILL_FILE:
            text = await _file(skill, arguments.file, limit)
        else:
            text = await _instructions(skill, limit)
        return ToolResult(text, _presentation(skill, arguments.file))

    return (
        Tool(
            name="skill",
            description=_description(skills),
            arguments=SkillArguments,
            effect="read",
            present=present,
            run=run,
            parameters=_parameters(skills),
        ),
    )


def _description(skills: Sequence[Skill]) -> str:
    rows = [f"- {skill.name}: {cut(skill.description, DESCRIPTION_CHARS)}" for skill in skills]
    return "\n".join([_DESCRIPTION, *fitting_rows(rows, ALL_DESCRIPTIONS_CHARS)])


def _parameters(skills: Sequence[Skill]) -> Mapping[str, Any]:
    properties: dict[str, Any] = {
        "name": {"enum": [skill.name for skill in skills], "type": "string"}
    }
    if any(skill.users for skill in skills):
        # The files of all others can be read with read_file.
        properties["file"] = {"type": "string"}
    return {"properties": properties, "required": ["name"], "type": "object"}


def _presentation(skill: Skill, file: str | None) -> Presentation:
    title = f"Skill {skill.name}" + (f": {cut(file, 60)}" if file else "")
    locations = () if file else (Location(path=skill.file),)
    return Presentation(title=title, kind="read", locations=locations)


async def _instructions(skill: Skill, limit: int) -> str:
    with workspace_errors():
        text = (await skill.workspace.read_text(skill.workspace.resolve(str(skill.file)))).text
    try:
        text = read_document(text).body
    except FrontmatterError as error:
        raise ToolError(f"{skill.name} {error}; tell the user to correct it") from error
    files = await _files(skill)
    if files:
        how = (
            'read one with "file"'
            if skill.users
            else f"read one with read_file, as {skill.place}/{files[0]}"
        )
        named = ", ".join(fitting_rows(files[:_MOST_FILES], _LARGEST_TRAILER))
        more = len(files) - named.count(", ") - 1
        also = f" and {count(more, 'more file')}" if more else ""
        trailer = f"\n\n(files of this skill: {named}{also}; {how})"
    else:
        trailer = ""
    return _cut(text, limit - len(trailer), skill, SKILL_FILE) + trailer


async def _file(skill: Skill, file: str, limit: int) -> str:
    if not skill.users:
        raise ToolError(f"the files of {skill.name} are in {skill.place}; use read_file")
    with workspace_errors():
        path = skill.workspace.resolve(f"{skill.folder}/{file}")
        if not path.is_relative_to(skill.folder):
            raise ToolError(f"{file} is no file of the skill {skill.name}")
        if is_secret_path(path):
            raise ToolError(f"{file} may hold secrets and is not shown")
        text = (await skill.workspace.read_text(path)).text
    return _cut(text, limit, skill, file)


def _cut(text: str, limit: int, skill: Skill, file: str) -> str:
    """Return what fits, saying how to read the rest."""
    if len(text) <= limit:
        return text
    rest = "" if skill.users else f"; read_file {skill.place}/{file} gives the rest"
    return f"{text[: limit - 120]}\n(cut at {limit - 120} of {len(text)} characters{rest})"


async def _files(skill: Skill) -> list[str]:
    """Return the other files of a skill, by their paths in its folder."""
    try:
        found = await skill.workspace.find_files("**/*", skill.folder, limit=_MOST_FILES + 1)
    except WorkspaceError:
        return []
    names = (path.relative_to(skill.folder).as_posix() for path in found.paths)
    return [name for name in names if name != SKILL_FILE and not is_secret_path(name)]
