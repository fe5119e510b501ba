"""What the sandbox kept a command from, by what the command says of its failure."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from punie.workspace.sandbox.view import View

_TAIL_CHARS = 16_000
_NETWORK = re.compile(
    r"(?:could not|couldn't|failed to|unable to) resolve|[nN]ame or service not known"
    r"|[nN]ame resolution|nodename nor servname|[Nn]etwork is (?:unreachable|down)"
    r"|\bEAI_AGAIN\b|\bENETUNREACH\b|\bENOTFOUND\b|getaddrinfo|dns error"
    r"|failure resolving|no such host|No address associated with hostname",
    re.IGNORECASE,
)
# On Linux what listens on this machine outside is not reached either.
_LOCAL_SERVER = re.compile(
    r"(?:localhost|127\.0\.0\.1|::1)\b.*(?:refused|could not connect|couldn't connect)"
    r"|(?:refused|failed to connect|could not connect).*(?:localhost|127\.0\.0\.1|::1)\b",
    re.IGNORECASE,
)
# Their sockets are not there.
_SERVICES = re.compile(
    r"connect to the docker daemon|cannot connect to podman|failed to connect to (?:\w+ )*bus"
    r"|connection to your authentication agent",
    re.IGNORECASE,
)
_OTHER_USERS = re.compile(r"no new privileges|effective uid is not 0", re.IGNORECASE)
_FAULT = re.compile(
    r"Read-only file system|Permission denied|Operation not permitted|Device or resource busy"
    r"|No such file or directory|EROFS|EACCES|EPERM",
    re.IGNORECASE,
)
_NEVER_OF_THE_DISK = re.compile(r"Read-only file system|EROFS", re.IGNORECASE)
_PATH = re.compile(
    r"""'([^']+)'|"([^"]+)"|‘([^’]+)’|((?<![\w./~-])(?:~|\.{0,2})/[^\s'"`:;,<>|()]+)"""
)
_BARE = re.compile(r"(?<![\w./-])(\.git(?:/\w+)*)(?![\w/])")


def what_was_blocked(
    exit_code: int | None, output: str, cwd: Path, view: View, temporary: Path
) -> str | None:
    """Return what a command was kept from, as the object of a sentence; None if nothing was.

    Only one that failed and whose own words fit counts. `temporary` is its folder for temporary
    files.
    """
    if exit_code == 0:
        return None
    for line in reversed(output[-_TAIL_CHARS:].splitlines()):
        if _FAULT.search(line) and (found := _blocked_path(line, cwd, view, temporary)):
            return found
        if _SERVICES.search(line):
            return "services of this machine"
        if _OTHER_USERS.search(line):
            return "acting as another user"
        if not view.network and _NETWORK.search(line):
            return "network"
        if not view.network and _LOCAL_SERVER.search(line):
            return "network, servers on this machine included"
    return None


def _blocked_path(line: str, cwd: Path, view: View, temporary: Path) -> str | None:
    """Return what was blocked of the paths in a line, the last first: programs are named before."""
    readonly = bool(_NEVER_OF_THE_DISK.search(line))
    for path in reversed(list(_paths(line, cwd))):
        if _is_in(path, view.hidden):
            return f"reading {path}"
        guarded = _is_in(path, (*view.guarded, *view.absent)) or _holds(path, view.guarded)
        if "No such file" in line:
            own = _is_in(path, [temporary]) and not _is_in(path, view.writable)
            if own and path.exists():
                return f"reading {path}, since commands have a {temporary} of their own"
        elif guarded or not _is_in(path, (*view.writable, view.scratch)):
            own = _is_in(path, [temporary]) and not _is_in(path, view.writable)
            # What is not the user's to write would have failed outside as well.
            if readonly or (not own and os.access(_nearest(path), os.W_OK)):
                return f"writing to {path}"
    return "writing outside the workspace" if readonly else None


def _paths(line: str, cwd: Path) -> Iterable[Path]:
    found = [next(filter(None, groups)) for groups in _PATH.findall(line)]
    for text in [*_BARE.findall(line), *found]:
        name = os.path.expanduser(text.rstrip("."))  # noqa: PTH111
        yield Path(os.path.realpath(cwd / name))


def _holds(path: Path, guarded: Iterable[Path]) -> bool:
    """Tell whether this is a repository, which stays where it is."""
    return path.name == ".git" and any(each.parent == path for each in guarded)


def _is_in(path: Path, folders: Iterable[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _nearest(path: Path) -> Path:
    """Return what of a path there is, outside of the sandbox."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
