"""What of a git repository a confined command may change: all but what runs programs later."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

_RUNS_PROGRAMS = ("config", "config.worktree", "hooks")
_LEADS_TO_SETTINGS = ("commondir", "gitdir", "config.worktree")
_MAX_MODULES = 200
_DEEPEST = 2
_MAX_FOLDERS = 200
_NO_PROJECTS = frozenset({"node_modules", "venv", "__pycache__"})


def repositories_below(root: Path) -> list[Path]:
    """Return the `.git` of repositories in a root's folders and in theirs, files included."""
    found: list[Path] = []
    level = [root]
    seen = 0
    for _ in range(_DEEPEST):
        below: list[Path] = []
        for folder in level:
            with contextlib.suppress(OSError), os.scandir(folder) as entries:
                below += [
                    Path(entry.path)
                    for entry in entries
                    if not entry.name.startswith(".")
                    and entry.name not in _NO_PROJECTS
                    and entry.is_dir(follow_symlinks=False)
                ]
            seen += 1
            if seen >= _MAX_FOLDERS:
                break
        level = sorted(below)[:_MAX_FOLDERS]
        found += [folder / ".git" for folder in level if os.path.lexists(folder / ".git")]
    return found


def guarded_in(git: Path) -> Iterable[Path]:
    """Return the settings and hooks in a repository's folder, those of its submodules included.

    So are the files of its worktrees that say where settings are.
    """
    folders = (git, *_modules(git / "modules"), *(git / "worktrees").glob("*"))
    for folder in folders:
        names = _RUNS_PROGRAMS if folder.parent.name != "worktrees" else _LEADS_TO_SETTINGS
        for name in names:
            if os.path.lexists(folder / name):
                yield folder / name


def strays_in(git: Path) -> Iterable[Path]:
    """Return files that would lead git to other settings and that no repository itself has."""
    for folder in (git, *_modules(git / "modules")):
        if os.path.lexists(folder / "commondir"):
            yield folder / "commondir"


def worktree_folder(git: Path) -> Path | None:
    """Return the repository that a worktree's `.git` file belongs to, None if it is none.

    Only one that names this worktree itself counts: the file could have been written by a command,
    the repository outside of the workspace could not.
    """
    try:
        line = git.read_text(encoding="utf-8") if git.is_file() else ""
        if not line.startswith("gitdir: "):
            return None
        own = git.parent / line.removeprefix("gitdir: ").strip()
        named = Path((own / "gitdir").read_text(encoding="utf-8").strip())
        common = own / (own / "commondir").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None
    real = Path(os.path.realpath(common))
    if os.path.realpath(named) != os.path.realpath(git) or not (real / "HEAD").is_file():
        return None
    return real


def _modules(folder: Path) -> Iterable[Path]:
    found = 0
    for path, folders, files in os.walk(folder):
        if "HEAD" in files and "config" in files:
            folders[:] = [name for name in folders if name == "modules"]
            found += 1
            yield Path(path)
        if found >= _MAX_MODULES:
            return
