"""Where programs are that Punie runs, and whose they may be."""

import os
import shutil
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import assert_never

from punie.workspace.base import ProgramSource
from punie.workspace.environment import project_venv


def locate_program(
    name: str, roots: Sequence[Path], environment: Mapping[str, str], source: ProgramSource
) -> Path | None:
    """Return where a program is; `environment` is that of commands, see `ProgramSource`."""
    beside = sysconfig.get_path("scripts")
    path = environment.get("PATH", "").split(os.pathsep)
    # Punie's own needs are looked for without a project.
    venv = project_venv(roots[0], environment) if roots else None
    own = [] if venv is None else [str(venv / "bin")]
    match source:
        case "any":
            folders = [*own, beside, *path]
        case "project":
            folders = [*own, *path]
        case "trusted":
            return _trusted(name, beside, path, roots)
        case _:
            assert_never(source)
    # An empty PATH would be the system's own for `which`, and is none.
    found = shutil.which(name, path=os.pathsep.join(folders) or os.devnull)
    return None if found is None else Path(found)


def _trusted(name: str, beside: str, path: Sequence[str], roots: Sequence[Path]) -> Path | None:
    """Return the first that is beside Punie or that neither lies nor leads into the roots."""
    for folder in (beside, *path):
        # A folder that is named relative to another is whatever lies there.
        found = shutil.which(name, path=folder) if folder.startswith("/") else None
        if found is not None and (folder == beside or not _is_inside(found, roots)):
            return Path(found)
    return None


def _is_inside(program: str, roots: Sequence[Path]) -> bool:
    """Tell whether a program is, by its folder's name or as links have it, in one of the roots."""
    folder = os.path.dirname(program)  # noqa: PTH120, as it is written
    return any(
        place.is_relative_to(below)
        for root in roots
        for below in (root, Path(os.path.realpath(root)))
        for place in (Path(folder), *(Path(os.path.realpath(each)) for each in (folder, program)))
    )
