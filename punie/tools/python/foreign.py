"""Code that a project leads to and that nobody has said may be shown.

ty follows links in the project and folders that its settings name, so a module may be any file, and
the type of a name is its very value: `Literal["…"]`.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import anyio.to_thread

from punie.plain_files import read_plain
from punie.tools.base import ToolContext
from punie.tools.python.problems import Problem
from punie.workspace.base import Workspace, WorkspaceError
from punie.workspace.secret_files import is_secret_path

MASK = "***"

_SUFFIXES = (".py", ".pyi", ".ipynb")
_SKIPPED = {"node_modules", "__pycache__"}
_MAX_FOLDERS = 20_000
_SETTINGS = ("pyproject.toml", "ty.toml")
_SETTINGS_BYTES = 1 << 20
_NAMES_FOLDERS = re.compile(rb"extra-paths|\broot\b|typeshed|\bpython\s*=")
_LIBRARY = re.compile(r"/(?:site-packages|dist-packages|python3[.\d]*t?|typeshed)/|\.zip/")
_VALUE = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|\b\d{4,}\b", re.DOTALL)


def is_foreign(workspace: Workspace, path: Path) -> bool:
    """Tell whether code is neither the project's own nor installed, or may hold secrets."""
    try:
        return is_secret_path(workspace.resolve(str(path)))
    except WorkspaceError:
        return is_led_to(workspace, path) or not _LIBRARY.search(str(path))


def is_led_to(workspace: Workspace, path: Path) -> bool:
    """Tell whether code may hold secrets, or is reached through a link that leads out."""
    try:
        return is_secret_path(workspace.resolve(str(path)))
    except WorkspaceError:
        inside = any(path.is_relative_to(root) for root in workspace.roots)
        return inside or is_secret_path(path)


async def without_foreign_values(
    context: ToolContext, problems: Sequence[Problem]
) -> list[Problem]:
    """Return the problems without values that may be those of foreign code."""
    if not any(_VALUE.search(problem.message) for problem in problems):
        return list(problems)
    if not await leads_out(context.workspace):
        return list(problems)
    texts: dict[Path, str] = {}
    kept: list[Problem] = []
    for problem in problems:
        if problem.path not in texts:
            try:
                texts[problem.path] = (await context.workspace.read_text(problem.path)).text
            except WorkspaceError:
                texts[problem.path] = ""
        kept.append(replace(problem, message=masked(problem.message, texts[problem.path])))
    return kept


def masked(said: str, text: str) -> str:
    """Return what was said of a text with `***` for all values that the text does not hold."""

    def mask(match: re.Match[str]) -> str:
        value = match[0]
        if value[0] not in "\"'":
            return value if value in text else MASK
        return value if value[1:-1] in text else f"{value[0]}{MASK}{value[0]}"

    return _VALUE.sub(mask, said)


async def leads_out(workspace: Workspace) -> bool:
    """Tell whether links or settings of the project may have ty read foreign code."""
    return await anyio.to_thread.run_sync(
        lambda: any(_leads_out(workspace, root) for root in workspace.roots)
    )


def _leads_out(workspace: Workspace, root: Path) -> bool:
    for number, (folder, folders, files) in enumerate(os.walk(root)):
        if number > _MAX_FOLDERS:
            return True
        for name in [*folders, *(name for name in files if name.endswith(_SUFFIXES))]:
            path = Path(folder, name)
            if path.is_symlink() and not name.startswith(".") and is_foreign(workspace, path):
                return True
        if any(_names_folders(Path(folder, name)) for name in _SETTINGS if name in files):
            return True
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _SKIPPED]
        # What lies in an environment is installed.
        if "pyvenv.cfg" in files:
            folders.clear()
    return False


def _names_folders(path: Path) -> bool:
    try:
        data = read_plain(path, _SETTINGS_BYTES)
    except OSError:
        return True
    told = data if path.name == "ty.toml" else data.partition(b"[tool.ty")[2]
    return bool(_NAMES_FOLDERS.search(told))
