"""Finding the validators, building the project they look at, and running them."""

import os
import time
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path, PurePosixPath

import anyio
import anyio.to_thread

from punie.tools.python.targets import Target
from punie.tools.validators.base import ENTRY_POINTS, Issue, Validator
from punie.tools.wording import count, one_line
from punie.workspace.base import Workspace, WorkspaceError

MAX_PROJECT_FILES = 2_000
MAX_FILE_CHARS = 400_000
MAX_SECONDS = 45.0

# Environments that are not ignored are among them.
_MOST_FOUND = 10_000
_READ_AT_ONCE = 20
_REASON_CHARS = 120
_SKIPPED_FOLDERS = {"__pycache__", "node_modules", "site-packages", "build", "dist", "venv"}


@dataclass(frozen=True)
class Found:
    """An issue and the file it is in, as the workspace shows it."""

    path: str
    issue: Issue


@dataclass(frozen=True)
class Outcome:
    """All issues in the order of files and lines, `notes` on what was not looked at."""

    found: tuple[Found, ...]
    notes: tuple[str, ...]
    checked: int


def load_validators(
    further: Iterable[EntryPoint] | None = None,
) -> tuple[list[Validator], list[str]]:
    """Return all validators, ours first, and a line on each that could not be loaded.

    `further` stands for the installed entry points of the group.
    """
    from punie.tools.validators.components import COMPONENTS
    from punie.tools.validators.generic import GENERIC
    from punie.tools.validators.routes import ROUTES
    from punie.tools.validators.services import SERVICES

    loaded = [COMPONENTS, SERVICES, ROUTES, GENERIC]
    notes: list[str] = []
    installed = entry_points(group=ENTRY_POINTS) if further is None else further
    for point in sorted(installed, key=lambda point: point.name):
        try:
            validator = point.load()
        except Exception as error:
            notes.append(f"validator {point.name} cannot be loaded: {_reason(error)}")
            continue
        if isinstance(validator, Validator):
            loaded.append(validator)
        else:
            notes.append(f"validator {point.name} is not a punie Validator")
    return loaded, notes


async def python_files(workspace: Workspace, folder: Path) -> tuple[list[Path], bool]:
    """Return the Python files below a folder, and whether there are more than can be read.

    What ignore files leave out, hidden folders, environments and build outputs are left out.
    """
    found = await workspace.find_files("*.py", folder, limit=_MOST_FOUND)
    marks = await workspace.find_files("pyvenv.cfg", folder, limit=_MOST_FOUND)
    environments = {mark.parent for mark in marks.paths} - {folder}
    files = [path for path in found.paths if _is_own(path, folder, environments)]
    more = found.more or len(files) > MAX_PROJECT_FILES
    return sorted(files[:MAX_PROJECT_FILES]), more


def _is_own(path: Path, folder: Path, environments: Set[Path]) -> bool:
    names = path.relative_to(folder).parts[:-1]
    if any(name.startswith(".") or name in _SKIPPED_FOLDERS for name in names):
        return False
    return path.suffix == ".py" and not any(parent in environments for parent in path.parents)


async def read_texts(workspace: Workspace, files: Sequence[Path]) -> dict[Path, str]:
    """Return the texts of the files as the workspace knows them, unsaved changes included."""
    texts: dict[Path, str] = {}
    limiter = anyio.CapacityLimiter(_READ_AT_ONCE)

    async def read(path: Path) -> None:
        async with limiter:
            try:
                text = (await workspace.read_text(path)).text
            except WorkspaceError:
                return
        if len(text) <= MAX_FILE_CHARS:
            texts[path] = text

    async with anyio.create_task_group() as tasks:
        for path in files:
            tasks.start_soon(read, path)
    return texts


def module_name(relative: str) -> tuple[str, str]:
    """Return the dotted name of a file, and that of the package it is in."""
    parts = list(PurePosixPath(relative.replace(os.sep, "/")).with_suffix("").parts)
    if parts[0] == "src":
        parts = parts[1:]
    if parts and parts[-1] == "__init__":
        name = ".".join(parts[:-1])
        return name, name
    return ".".join(parts), ".".join(parts[:-1])


async def validate(
    workspace: Workspace, target: Target, validators: Sequence[Validator], notes: Sequence[str]
) -> Outcome:
    """Run the validators over the Python files at a path; raise `WorkspaceError`.

    The other modules of the same root are there for them to look at.
    """
    said = list(notes)
    around, more = await python_files(workspace, target.root)
    wanted = around
    if target.file is not None:
        wanted, more = [target.path], False
    elif target.path != target.root:
        wanted, more = await python_files(workspace, target.path)
    if more:
        said.append(f"only the first {MAX_PROJECT_FILES} files were looked at")
    texts = await read_texts(workspace, sorted({*wanted, *around}))
    shown = {path: workspace.display(path) for path in texts}
    unread = [path for path in wanted if path not in texts]
    if unread:
        said.append(f"{_files(len(unread), 'is', 'are')} too large or no text")

    def work() -> Outcome:
        return _run(target.root, wanted, texts, shown, validators, said)

    return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)


def _run(
    root: Path,
    wanted: Sequence[Path],
    texts: dict[Path, str],
    shown: dict[Path, str],
    validators: Sequence[Validator],
    said: list[str],
) -> Outcome:
    from punie.tools.python.concrete import NotPythonError
    from punie.tools.validators.module import Module
    from punie.tools.validators.project import Project

    by_path: dict[Path, Module] = {}
    for path in sorted(texts):
        name, package = module_name(path.relative_to(root).as_posix())
        by_path[path] = Module(shown[path], name, package, texts[path])
    project = Project({module.name: module for module in by_path.values()})
    deadline = time.monotonic() + MAX_SECONDS
    found: list[Found] = []
    broken: dict[str, str] = {}
    checked = 0
    files = [path for path in wanted if path in by_path]
    for path in files:
        if time.monotonic() > deadline:
            left = len(files) - checked
            said.append(
                f"{_files(left, 'was', 'were')} not looked at for lack of time; name a smaller path"
            )
            break
        module = by_path[path]
        checked += 1
        try:
            _ = module.tree
        except NotPythonError as error:
            said.append(f"{module.path} {error}")
            continue
        for validator in validators:
            if validator.name in broken:
                continue
            try:
                issues = list(validator.check(module, project))
            except Exception as error:
                broken[validator.name] = _reason(error)
                said.append(f"validator {validator.name} failed on {module.path}: {_reason(error)}")
                continue
            found += [Found(module.path, issue) for issue in issues]
    found.sort(key=lambda item: (item.path, item.issue.line, item.issue.rule))
    return Outcome(tuple(found), tuple(said), checked)


def _files(number: int, one: str, several: str) -> str:
    return f"{count(number, 'file')} {one if number == 1 else several}"


def _reason(error: Exception) -> str:
    return one_line(f"{type(error).__name__}: {error}", _REASON_CHARS)
