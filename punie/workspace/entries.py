"""Entries of folders on disk: listed, looked at, moved and deleted."""

import errno
import os
import stat

from punie.workspace.base import DirEntry, MissingFileError, PathInfo, WorkspaceError
from punie.workspace.beneath import HeldPath
from punie.workspace.ignore_files import ignored_names
from punie.workspace.text_files import missing_sentence, reason


def list_entries(at: HeldPath, shown: str) -> tuple[DirEntry, ...]:
    """List a folder: folders first, then files, each by name; raise `WorkspaceError`."""
    try:
        with at.opened_folder() as folder, os.scandir(folder) as entries:
            found = [(entry.name, *_kind_and_size(entry)) for entry in entries]
    except FileNotFoundError as error:
        raise MissingFileError(missing_sentence(at.path, shown, "folder")) from error
    except NotADirectoryError as error:
        if os.path.lexists(at.path):
            raise WorkspaceError(f"{shown} is a file, not a folder") from error
        raise WorkspaceError(missing_sentence(at.path, shown, "folder")) from error
    except OSError as error:
        raise WorkspaceError(f"{shown} could not be listed: {reason(error)}") from error
    ignored = ignored_names(at.path, [(name, is_dir) for name, is_dir, _ in found])
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


def look_at(at: HeldPath, shown: str) -> PathInfo:
    """Tell what is there; raise `MissingFileError` if there is nothing."""
    try:
        found = at.status()
        if stat.S_ISDIR(found.st_mode):
            with at.opened_folder() as folder:
                return PathInfo("folder", len(os.listdir(folder)))  # noqa: PTH208, only counted
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError(missing_sentence(at.path, shown, "file or folder")) from error
    except OSError as error:
        raise WorkspaceError(f"{shown} could not be looked at: {reason(error)}") from error
    return PathInfo("file" if stat.S_ISREG(found.st_mode) else "other", found.st_size)


def move_entry(at: HeldPath, to: HeldPath, shown: str, shown_to: str) -> None:
    """Move a file or folder to a path where nothing is; raise `WorkspaceError`."""
    try:
        if _is_there(to) and not _same_entry(at, to):
            raise WorkspaceError(f"{shown_to} is there already; nothing is overwritten")
        if to.path.is_relative_to(at.path) and to.path != at.path:
            raise WorkspaceError(f"{shown} cannot be moved into itself")
        at.replace(to)
    except FileNotFoundError as error:
        raise MissingFileError(missing_sentence(at.path, shown, "file or folder")) from error
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise WorkspaceError(
                f"{shown_to} is on another disk than {shown}; use run_command with mv"
            ) from error
        raise WorkspaceError(f"{shown} could not be moved: {reason(error)}") from error


def _is_there(at: HeldPath) -> bool:
    try:
        at.status()
    except FileNotFoundError:
        return False
    return True


def _same_entry(at: HeldPath, to: HeldPath) -> bool:
    """Tell whether only upper and lower case differ, where a disk takes them as one."""
    same_name = str(at.path).casefold() == str(to.path).casefold()
    return at.path != to.path and same_name and os.path.samestat(at.status(), to.status())


def delete_entry(at: HeldPath, shown: str) -> None:
    """Delete a file of any kind or an empty folder; raise `WorkspaceError` if it cannot be."""
    info = look_at(at, shown)
    try:
        if info.kind != "folder":
            if not at.status().st_mode & 0o222:
                raise WorkspaceError(f"{shown} is read-only")
            at.unlink()
            return
        if info.size:
            raise WorkspaceError(not_empty(shown, info.size))
        at.rmdir()
    except FileNotFoundError as error:
        raise MissingFileError(missing_sentence(at.path, shown, "file or folder")) from error
    except OSError as error:
        raise WorkspaceError(f"{shown} could not be deleted: {reason(error)}") from error


def not_empty(shown: str, entries: int) -> str:
    """Say that a folder with entries is not deleted, and what would do it."""
    held = "1 entry" if entries == 1 else f"{entries} entries"
    return f"{shown} is a folder with {held}; use run_command with rm -r to delete it with them"
