"""Entries of folders on disk: listed, looked at, moved and deleted."""

import errno
import os
import shutil
import stat
from pathlib import Path

from punie.workspace.base import DirEntry, MissingFileError, PathInfo, WorkspaceError
from punie.workspace.ignore_files import ignored_names
from punie.workspace.text_files import missing_sentence, reason


def list_entries(real: Path, shown: str) -> tuple[DirEntry, ...]:
    """List a folder: folders first, then files, each by name; raise `WorkspaceError`."""
    try:
        with os.scandir(real) as entries:
            found = [(entry.name, *_kind_and_size(entry)) for entry in entries]
    except FileNotFoundError as error:
        raise MissingFileError(missing_sentence(real, shown, "folder")) from error
    except NotADirectoryError as error:
        if os.path.exists(real):  # noqa: PTH110
            raise WorkspaceError(f"{shown} is a file, not a folder") from error
        raise WorkspaceError(missing_sentence(real, shown, "folder")) from error
    except OSError as error:
        raise WorkspaceError(f"{shown} could not be listed: {reason(error)}") from error
    ignored = ignored_names(real, [(name, is_dir) for name, is_dir, _ in found])
    found.sort(key=lambda each: (not each[1], each[0]))
    return tuple(
        DirEntry(name, is_dir=is_dir, size=size, ignored=name in ignored)
        for name, is_dir, size in found
    )


def _kind_and_size(entry: os.DirEntry[str]) -> tuple[bool, int]:
    try:
        if entry.is_dir():
            return True, 0
        return False, entry.stat().st_size
    except OSError:
        # A dangling link or an entry that has just gone is listed all the same.
        return False, 0


def look_at(real: Path, shown: str) -> PathInfo:
    """Tell what is at `real`; raise `MissingFileError` if there is nothing."""
    try:
        found = real.lstat()
        if stat.S_ISDIR(found.st_mode):
            return PathInfo("folder", len(os.listdir(real)))  # noqa: PTH208, only counted
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError(missing_sentence(real, shown, "file or folder")) from error
    except OSError as error:
        raise WorkspaceError(f"{shown} could not be looked at: {reason(error)}") from error
    return PathInfo("file" if stat.S_ISREG(found.st_mode) else "other", found.st_size)


def move_entry(real: Path, to: Path, shown: str, shown_to: str) -> None:
    """Move a file or folder to a path where nothing is; raise `WorkspaceError`."""
    try:
        if os.path.lexists(to) and not _same_entry(real, to):
            raise WorkspaceError(f"{shown_to} is there already; nothing is overwritten")
        if to.is_relative_to(real) and to != real:
            raise WorkspaceError(f"{shown} cannot be moved into itself")
        try:
            real.rename(to)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            shutil.move(real, to)
    except FileNotFoundError as error:
        raise MissingFileError(missing_sentence(real, shown, "file or folder")) from error
    except OSError as error:
        raise WorkspaceError(f"{shown} could not be moved: {reason(error)}") from error


def _same_entry(real: Path, to: Path) -> bool:
    """Tell whether only upper and lower case differ, where a disk takes them as one."""
    return real != to and str(real).casefold() == str(to).casefold() and real.samefile(to)


def delete_entry(real: Path, shown: str) -> None:
    """Delete a file of any kind or an empty folder; raise `WorkspaceError` if it cannot be."""
    info = look_at(real, shown)
    try:
        if info.kind != "folder":
            if not real.lstat().st_mode & 0o222:
                raise WorkspaceError(f"{shown} is read-only")
            real.unlink()
            return
        if info.size:
            raise WorkspaceError(not_empty(shown, info.size))
        real.rmdir()
    except FileNotFoundError as error:
        raise MissingFileError(missing_sentence(real, shown, "file or folder")) from error
    except OSError as error:
        raise WorkspaceError(f"{shown} could not be deleted: {reason(error)}") from error


def not_empty(shown: str, entries: int) -> str:
    """Say that a folder with entries is not deleted, and what would do it."""
    held = "1 entry" if entries == 1 else f"{entries} entries"
    return f"{shown} is a folder with {held}; use run_command with rm -r to delete it with them"
