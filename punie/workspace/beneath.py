"""Paths below a root that no link can lead out of, not even one put there a moment ago.

A path that was checked may be another one when it is used: somebody else's process can put a
symbolic link in its way in between. So the folders of a path are opened one after another, each
from the one before and none through a link, and what is done is done from the last of them.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from punie.workspace.base import OutsideWorkspaceError

# Linux can hold a folder that may be passed through but not be listed.
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
_MODE = 0o666


@dataclass(frozen=True)
class HeldPath:
    """The entry `name` of a folder that is held open; `path` is where it is, for messages.

    Without a folder, `name` is a whole path. A link at the very end is never followed.
    """

    path: Path
    name: str
    folder: int | None = None

    def status(self) -> os.stat_result:
        """Return what is there, of a link the link itself; raise `OSError`."""
        return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)

    def open(self, flags: int = os.O_RDONLY) -> BinaryIO:
        """Open the file, without waiting for anybody at the other end; raise `OSError`."""
        flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(self.name, flags, _MODE, dir_fd=self.folder)
        return open(descriptor, "wb" if flags & os.O_WRONLY else "rb")  # noqa: PTH123

    @contextlib.contextmanager
    def opened_folder(self) -> Iterator[int]:
        """Open it as a folder that can be listed; raise `OSError`."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self.name, flags, dir_fd=self.folder)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def may_write(self) -> bool:
        """Tell whether this process may write it."""
        return os.access(self.name, os.W_OK, dir_fd=self.folder)

    def beside(self, name: str) -> "HeldPath":
        """Return another entry of the same folder."""
        if self.folder is None:
            return whole_path(self.path.with_name(name))
        return HeldPath(self.path.with_name(name), name, self.folder)

    def replace(self, to: "HeldPath") -> None:
        """Put it in the place of another; raise `OSError`."""
        os.rename(self.name, to.name, src_dir_fd=self.folder, dst_dir_fd=to.folder)

    def unlink(self) -> None:
        """Delete the file or link; raise `OSError`."""
        os.unlink(self.name, dir_fd=self.folder)

    def rmdir(self) -> None:
        """Delete the empty folder; raise `OSError`."""
        os.rmdir(self.name, dir_fd=self.folder)


def whole_path(path: Path) -> HeldPath:
    """Return a path as it is, for one that nobody else can change."""
    return HeldPath(path, str(path))


@contextlib.contextmanager
def hold(root: Path, real: Path, *, create: bool = False) -> Iterator[HeldPath]:
    """Hold the folder of `real`, which lies in `root`; both are free of links.

    With `create`, folders that are missing are made. Raises `OutsideWorkspaceError` where a link
    has come between, and `OSError`.
    """
    parts = real.relative_to(root).parts
    folder = os.open(root, _FOLDER)
    try:
        for number, part in enumerate(parts[:-1], start=1):
            below = _enter(folder, part, root.joinpath(*parts[:number]), create=create)
            os.close(folder)
            folder = below
        yield HeldPath(real, parts[-1] if parts else ".", folder)
    finally:
        os.close(folder)


def _enter(folder: int, name: str, path: Path, *, create: bool) -> int:
    try:
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
    except FileNotFoundError:
        if not create:
            raise
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=folder)
        return _enter(folder, name, path, create=False)
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP, errno.EMLINK):
            raise
        with contextlib.suppress(OSError):
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                raise OutsideWorkspaceError(
                    f"{path} became a symbolic link just now and is not followed"
                ) from error
        if create:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error
        raise
