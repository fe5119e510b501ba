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
            folders = [beside, *(folder for folder in path if not _is_inside(folder, roots))]
        case _:
            assert_never(source)
    # An empty PATH would be the system's own for `which`, and is none.
    found = shutil.which(name, path=os.pathsep.join(folders) or os.devnull)
    return None if found is None else Path(found)


def _is_inside(folder: str, roots: Sequence[Path]) -> bool:
    real = Path(os.path.realpath(folder))
    return any(
        place.is_relative_to(below)
        for root in roots
        for below in (root, Path(os.path.realpath(root)))
        for place in (Path(folder), real)
    )
