"""Finds the skills of a project and of its user: folders with a SKILL.md."""

import re
from dataclasses import dataclass
from pathlib import Path

from anyio import to_thread

from punie.tools.skills.frontmatter import FrontmatterError, read_document
from punie.tools.wording import one_line
from punie.workspace.base import MissingFileError, Workspace, WorkspaceError
from punie.workspace.local import LocalWorkspace
from punie.workspace.secret_files import is_secret_path

SKILL_FILE = "SKILL.md"
PROJECT_FOLDERS = (".punie/skills", ".agents/skills")
"""Where a project keeps its skills, of which the first with a name counts."""
USER_FOLDER = "skills"
"""Where the user's own are, in the settings folder; they count after those of the project."""

MOST_SKILLS = 30
"""Skills that are offered in one session."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_DESCRIPTION_CHARS = 1_000


@dataclass(frozen=True)
class Skill:
    """One skill: `folder` lies in `workspace`, which is another than the session's if `users`."""

    name: str
    description: str
    folder: Path
    workspace: Workspace
    users: bool

    @property
    def file(self) -> Path:
        """Its instructions."""
        return self.folder / SKILL_FILE

    @property
    def place(self) -> str:
        """The folder as a person should see it."""
        return str(self.folder) if self.users else self.workspace.display(self.folder)


@dataclass(frozen=True)
class Skills:
    """What was found; `troubles` are sentences on what looks like a skill and is none."""

    skills: tuple[Skill, ...] = ()
    troubles: tuple[str, ...] = ()


async def find_skills(workspace: Workspace, settings_folder: Path | None) -> Skills:
    """Look for skills in a project and in the user's settings folder; never fails."""
    found: dict[str, Skill] = {}
    troubles: list[str] = []
    places = [(workspace, folder, False) for folder in PROJECT_FOLDERS]
    users = None if settings_folder is None else settings_folder / USER_FOLDER
    if users is not None and await to_thread.run_sync(users.is_dir):
        places.append((LocalWorkspace([users]), ".", True))
    for where, folder, is_users in places:
        for name in await _folders(where, folder):
            try:
                skill = await _skill(where, f"{folder}/{name}", is_users)
            except WorkspaceError as error:
                troubles.append(f"{error}.")
                continue
            except FrontmatterError as error:
                shown = where.resolve(f"{folder}/{name}/{SKILL_FILE}")
                shown_as = str(shown) if is_users else where.display(shown)
                troubles.append(f"{shown_as} {error}, so it is no skill.")
                continue
            if skill is not None:
                found.setdefault(skill.name, skill)
    skills = tuple(found.values())
    if len(skills) > MOST_SKILLS:
        troubles.append(f"Of {len(skills)} skills only the first {MOST_SKILLS} are offered.")
    return Skills(skills[:MOST_SKILLS], tuple(troubles))


async def _folders(workspace: Workspace, path: str) -> list[str]:
    try:
        entries = await workspace.list_dir(workspace.resolve(path))
    except WorkspaceError:
        return []
    return [entry.name for entry in entries if entry.is_dir]


async def _skill(workspace: Workspace, path: str, users: bool) -> Skill | None:
    """Read the head of a skill; None if the folder holds none."""
    folder = workspace.resolve(path)
    file = workspace.resolve(f"{path}/{SKILL_FILE}")
    if is_secret_path(file):
        raise FrontmatterError("may hold secrets")
    try:
        document = read_document((await workspace.read_text(file)).text)
    except MissingFileError:
        return None
    name = document.fields.get("name") or folder.name
    if not _NAME.fullmatch(name):
        raise FrontmatterError(
            f"is named {one_line(name, 40)!r}, not with small letters, digits and hyphens"
        )
    description = " ".join(document.fields.get("description", "").split())
    if not description:
        raise FrontmatterError("has no description of what it is for")
    return Skill(name, description[:_DESCRIPTION_CHARS], folder, workspace, users)
