"""What is at a path: the unit in which checkpoints remember and compare."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from punie.workspace.text_files import digest_of

MAX_KEPT_BYTES = 10 * 1024 * 1024
"""Contents of larger files are not kept."""

Kind = Literal["absent", "file", "link", "folder", "other"]


@dataclass(frozen=True)
class FileState:
    """What is at a path.

    `digest` is that of a file's bytes; unless they are `kept`, it only tells the file from others.
    `mode` are a file's permission bits, 0 where they are not known, `target` is where a link leads.
    """

    kind: Kind
    digest: str = ""
    mode: int = 0
    target: str = ""
    kept: bool = True

    def same_as(self, other: "FileState") -> bool:
        """Tell whether both are the same but for permission bits."""
        return (self.kind, self.digest, self.target) == (other.kind, other.digest, other.target)

    def encoded(self) -> dict[str, Any]:
        """Return the state as JSON, without what goes without saying."""
        found: dict[str, Any] = {"kind": self.kind}
        if self.digest:
            found["digest"] = self.digest
        if self.mode:
            found["mode"] = self.mode
        if self.target:
            found["target"] = self.target
        if not self.kept:
            found["kept"] = False
        return found


ABSENT = FileState("absent")
FOLDER = FileState("folder")


def decode_state(value: dict[str, Any]) -> FileState:
    """Read a state back; raise `TypeError` for what is none."""
    return FileState(**value)


def file_state(data: bytes, mode: int) -> FileState:
    """Return the state of a file with these bytes."""
    return FileState("file", digest_of(data), mode)


def look(path: Path) -> tuple[FileState, bytes | None]:
    """Return what is at a path, links not followed, and the bytes of a file that can be kept.

    Raises `OSError` if it cannot be read.
    """
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return ABSENT, None
    if stat.S_ISLNK(found.st_mode):
        return FileState("link", target=os.readlink(path)), None  # noqa: PTH115, exact
    if stat.S_ISDIR(found.st_mode):
        return FOLDER, None
    if not stat.S_ISREG(found.st_mode):
        return FileState("other"), None
    mode = stat.S_IMODE(found.st_mode)
    if found.st_size > MAX_KEPT_BYTES:
        return unkept(found, mode), None
    data = read_regular(path)
    return file_state(data, mode), data


def is_named_so(path: Path) -> bool:
    """Tell whether there is an entry of just this name: some disks take `A` and `a` as one."""
    try:
        return path.name in os.listdir(path.parent)  # noqa: PTH208, only names are needed
    except OSError:
        return False


def unkept(found: os.stat_result, mode: int) -> FileState:
    """Return the state of a file whose bytes are not read: it is known by its size and times."""
    return FileState("file", f"{found.st_size}-{found.st_mtime_ns}", mode, kept=False)


def read_regular(path: Path | str) -> bytes:
    """Return the bytes of a file, never of what a link at its place leads to."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        return file.read()
