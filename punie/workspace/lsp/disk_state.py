"""What a language server would have to watch: which Python files there are, and when written."""

import os
import stat
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from punie.workspace.environment import project_venv

MAX_WATCHED = 50_000
"""Of more files in a project changes are not noticed."""

_WATCHED_NAMES = {"pyproject.toml", "ty.toml", ".gitignore", ".ignore"}
_SUFFIXES = (".py", ".pyi", ".ipynb")
_SKIPPED = {"__pycache__", "node_modules"}

CREATED, CHANGED, DELETED = 1, 2, 3
"""Kinds of change, as the protocol numbers them."""

Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class DiskState:
    """Files with what changes when they are written, and the same of installed packages."""

    files: Mapping[str, Stamp]
    packages: tuple[tuple[str, int], ...]


def look(root: Path, environment: Mapping[str, str]) -> DiskState:
    """Return the state of a project now; blocks."""
    files: dict[str, Stamp] = {}
    for entry in _entries(str(root)):
        try:
            found = entry.stat()
        except OSError:
            continue
        if stat.S_ISREG(found.st_mode):
            files[entry.path] = (found.st_mtime_ns, found.st_size, found.st_ino)
        if len(files) >= MAX_WATCHED:
            break
    return DiskState(files, tuple(_packages(root, environment)))


def changes(before: DiskState, after: DiskState) -> list[tuple[str, int]]:
    """Return the files that differ and how."""
    kinds = [(path, DELETED) for path in before.files if path not in after.files]
    for path, stamp in after.files.items():
        old = before.files.get(path)
        if old != stamp:
            kinds.append((path, CREATED if old is None else CHANGED))
    return kinds


def _entries(root: str) -> Iterator["os.DirEntry[str]"]:
    folders = [root]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                found = list(entries)
        except OSError:
            continue
        for entry in found:
            name = entry.name
            if name.endswith(_SUFFIXES) or name in _WATCHED_NAMES:
                yield entry
            elif entry.is_dir(follow_symlinks=False) and _is_walked(entry):
                folders.append(entry.path)


def _is_walked(entry: "os.DirEntry[str]") -> bool:
    if entry.name.startswith(".") or entry.name in _SKIPPED:
        return False
    return not os.path.exists(os.path.join(entry.path, "pyvenv.cfg"))  # noqa: PTH110, PTH118


def _packages(root: Path, environment: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    venv = project_venv(root, environment)
    folders = [] if venv is None else sorted(venv.glob("lib/python*/site-packages"))
    for folder in folders or [Path(sysconfig.get_path("purelib"))]:
        try:
            yield str(folder), folder.stat().st_mtime_ns
        except OSError:
            continue
