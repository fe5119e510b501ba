"""The environment of commands: the user's own, the project's virtual environment, no secrets.

Three sources, the stronger first:

1. the project's virtual environment: its `bin` comes first on PATH;
2. what this process was started with, which is what the IDE and its `acp.json` set;
3. what the user's login shell exports.

PATH is one list made of all three. A PATH of system folders alone is what programs started from a
desktop inherit and nobody's choice: the login shell's PATH takes its place.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import anyio.to_thread

from punie.workspace.login_shell import LoginShell

_PRIVATE_PREFIXES = ("PUNIE_", "IJ_MCP_")
"""Settings of Punie and tokens that an IDE made for it; commands have no business with them."""

_PRELOADED = "LD_PRELOAD"

_SYSTEM_FOLDERS = {
    "/bin",
    "/sbin",
    "/usr/bin",
    "/usr/sbin",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/usr/games",
    "/usr/local/games",
    "/snap/bin",
    "/Library/Apple/usr/bin",
    "/System/Cryptexes/App/usr/bin",
}
_USUAL_FOLDERS = (
    "~/.local/bin",
    "~/bin",
    "~/.cargo/bin",
    "/opt/homebrew/bin",
    "/opt/homebrew/sbin",
    "/usr/local/bin",
    "/usr/bin",
    "/bin",
    "/usr/sbin",
    "/sbin",
)
_VENV_FOLDERS = (".venv", "venv")
_NO_TERMINAL = {"", "dumb", "unknown"}

_login_shell = LoginShell()
_own_venv_offered = ContextVar("own_venv_offered", default=False)


@contextmanager
def own_venv_offered() -> Iterator[None]:
    """Let commands have Punie's own virtual environment for the time, if it comes first on PATH.

    That is for conversations which are to be the same wherever they are made.
    """
    token = _own_venv_offered.set(True)
    try:
        yield
    finally:
        _own_venv_offered.reset(token)


async def command_environment(project: Path) -> dict[str, str]:
    """Return the environment for programs that work on `project`, an absolute folder.

    The first call in a process may take as long as the user's login shell; when that fails, the
    usual folders of programs are added to PATH instead.
    """

    def build() -> dict[str, str]:
        inherited = without_private(os.environ)
        if comes_from_a_terminal(inherited):
            return compose(project, inherited, inherited)
        return compose(project, inherited, _login_shell.environment(inherited))

    return await anyio.to_thread.run_sync(build, abandon_on_cancel=True)


def without_private(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables without those that are meant for Punie alone.

    A BLAS that is loaded in front of MLX's is one of them: it starts its threads in every program
    that is run, and bubblewrap with such threads never comes to its end.
    """
    kept = {
        name: value for name, value in environment.items() if not name.startswith(_PRIVATE_PREFIXES)
    }
    libraries = kept.pop(_PRELOADED, "").replace(":", " ").split()
    if others := [library for library in libraries if "blas" not in library.lower()]:
        kept[_PRELOADED] = " ".join(others)
    return kept


def comes_from_a_terminal(environment: Mapping[str, str]) -> bool:
    """Tell whether a shell of the user has already set this environment up.

    Only a shell in a terminal sets all of these; a desktop session sets one or the other.
    """
    return (
        environment.get("TERM", "") not in _NO_TERMINAL
        and "SHLVL" in environment
        and not _is_bare(environment.get("PATH", ""))
    )


def compose(
    project: Path, inherited: Mapping[str, str], login: Mapping[str, str] | None
) -> dict[str, str]:
    """Put the environment together; `login` is None when the login shell gave no answer."""
    merged = {**without_private(login or {}), **inherited}
    own = inherited.get("PATH", "")
    if login is None:
        path = _folders(own, *_usual_folders(inherited))
    elif _is_bare(own):
        path = _folders(login.get("PATH", ""), own)
    else:
        path = _folders(own, login.get("PATH", ""))
    venv = project_venv(project, merged)
    path = _without_own_venv(merged, path, venv)
    if venv is not None:
        merged["VIRTUAL_ENV"] = str(venv)
        merged.pop("PYTHONHOME", None)
        path = _folders(str(venv / "bin"), *path)
    merged["PATH"] = os.pathsep.join(path)
    return merged


def project_venv(project: Path, environment: Mapping[str, str]) -> Path | None:
    """Return the project's virtual environment: the first folder that holds a Python.

    `$UV_PROJECT_ENVIRONMENT` names it, else it is `.venv` or `venv`. Nothing is executed.
    """
    named = environment.get("UV_PROJECT_ENVIRONMENT")
    for folder in ([named] if named else []) + list(_VENV_FOLDERS):
        venv = project / folder
        python = venv / "bin" / "python"
        if python.is_file() and os.access(python, os.X_OK):
            return venv
    return None


def _without_own_venv(environment: dict[str, str], path: list[str], venv: Path | None) -> list[str]:
    """Take the virtual environment that Punie is installed in out, unless it is the project's.

    It would offer Punie's Python and libraries to commands as if they were the project's.
    """
    own = Path(sys.prefix)
    is_wanted = _own_venv_offered.get() or (venv is not None and _same(venv, own))
    if sys.prefix == sys.base_prefix or is_wanted:
        return path
    if "VIRTUAL_ENV" in environment and _same(Path(environment["VIRTUAL_ENV"]), own):
        del environment["VIRTUAL_ENV"]
    return [folder for folder in path if not _same(Path(folder), own / "bin")]


def _same(first: Path, second: Path) -> bool:
    # Not samefile: the `bin` of two virtual environments may be the same folder by a link.
    return os.path.realpath(first) == os.path.realpath(second)


def _is_bare(path: str) -> bool:
    return all(folder.rstrip("/") in _SYSTEM_FOLDERS for folder in path.split(os.pathsep) if folder)


def _usual_folders(environment: Mapping[str, str]) -> Iterable[str]:
    home = environment.get("HOME", "")
    for folder in _USUAL_FOLDERS:
        if folder.startswith("~") and not home:
            continue
        path = folder.replace("~", home, 1)
        if os.path.isdir(path):  # noqa: PTH112, the text is what is wanted
            yield path


def _folders(*lists: str) -> list[str]:
    """Return the folders of several PATHs, each once, in order; relative ones are left out.

    A relative folder would offer whatever lies in the project as a program.
    """
    folders = [folder for text in lists for folder in text.split(os.pathsep)]
    return list(dict.fromkeys(folder for folder in folders if folder.startswith("/")))
