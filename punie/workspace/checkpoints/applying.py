"""Makes one path what a plan says, in one step that a killed process leaves done or not done."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import anyio.to_thread

from punie.workspace.base import NotTextError, TextFile, Workspace, WorkspaceError
from punie.workspace.beneath import HeldPath, hold
from punie.workspace.boundary import boundary_around
from punie.workspace.checkpoints.blobs import BlobStore, LostContentError
from punie.workspace.checkpoints.observing import Observed, place
from punie.workspace.checkpoints.planning import Step
from punie.workspace.checkpoints.states import FileState, look
from punie.workspace.text_files import check_writable, decode_text, reason, write_file_atomically


async def apply_step(step: Step, workspace: Workspace, blobs: BlobStore) -> None:
    """Make the path what it is to become; raise `WorkspaceError` if it cannot be done.

    Texts go through the workspace, so that an IDE takes part; everything else is done on disk.
    """
    if step.needless:
        return
    place(workspace, step.path)
    shown = workspace.display(step.path)
    if step.unlock:
        await anyio.to_thread.run_sync(
            _set_mode, step.path, step.now.state.mode | stat.S_IWUSR, workspace, shown
        )
    if step.target.kind == "file":
        data = await _content(step.target, shown, blobs)
        await _write(step, data, workspace, shown)
    elif step.target.kind == "absent" and step.now.file is not None:
        await workspace.remove(step.now.file)
    else:
        await anyio.to_thread.run_sync(_change_entry, step, workspace, shown)


async def _content(target: FileState, shown: str, blobs: BlobStore) -> bytes:
    try:
        return await anyio.to_thread.run_sync(blobs.get, target.digest)
    except LostContentError as error:
        raise WorkspaceError(f"the copy of {shown} that was kept is not there any more") from error


async def _write(step: Step, data: bytes, workspace: Workspace, shown: str) -> None:
    text = _as_text(step, data, shown)
    now = step.now.state
    if now.same_as(step.target):
        pass  # Only the permission bits differ.
    elif text is not None:
        await workspace.write_text(step.path, text.text, like=text)
    else:
        await anyio.to_thread.run_sync(_write_bytes, step, data, workspace, shown)
    if step.target.mode:
        await anyio.to_thread.run_sync(_set_mode, step.path, step.target.mode, workspace, shown)


def _as_text(step: Step, data: bytes, shown: str) -> TextFile | None:
    """Return the text to write and its form, None if it has to be written as bytes."""
    now = step.now
    if now.state.kind != "absent" and now.file is None:
        return None
    try:
        wanted = decode_text(step.path, shown, data)
    except NotTextError:
        return None
    if now.file is None:
        return replace(wanted.form, text=wanted.text)
    if (now.file.newline, now.file.bom) != (wanted.newline, wanted.bom):
        return None  # An editor keeps line ends and marks as they are.
    return TextFile(step.path, wanted.text, now.file.digest, wanted.newline, wanted.bom)


@contextmanager
def _held(workspace: Workspace, path: Path, shown: str, *, create: bool) -> Iterator[HeldPath]:
    """Hold a path, with no link anywhere on the way; say every trouble in one sentence."""
    boundary = boundary_around(workspace.roots)
    try:
        for root, real in zip(boundary.roots, boundary.real_roots, strict=True):
            if path.is_relative_to(root):
                with hold(real, real / path.relative_to(root), create=create) as held:
                    yield held
                return
    except OSError as error:
        raise WorkspaceError(f"{shown} could not be made as it was: {reason(error)}") from error
    raise WorkspaceError(f"{shown} is outside the workspace")


def _write_bytes(step: Step, data: bytes, workspace: Workspace, shown: str) -> None:
    _refuse_changed(step.path, step.now, shown)
    with _held(workspace, step.path, shown, create=True) as held:
        match step.now.state.kind:
            case "folder":
                held.rmdir()
            case "link":
                _replace_link(held, data)
                return
            case _:
                pass
        write_file_atomically(held, shown, data)


def _replace_link(held: HeldPath, data: bytes) -> None:
    """Put a file in the place of a link, wherever that leads; raise `OSError`."""
    unfinished = held.beside(_unfinished_name())
    try:
        with unfinished.open(os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
            file.write(data)
        unfinished.replace(held)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise


def _unfinished_name() -> str:
    return f".punie-{secrets.token_hex(8)}.tmp"


def _set_mode(path: Path, mode: int, workspace: Workspace, shown: str) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return  # An IDE has the text and has not saved it yet.
    except OSError as error:
        raise WorkspaceError(f"{shown} could not be made as it was: {reason(error)}") from error
    if stat.S_ISREG(found.st_mode) and stat.S_IMODE(found.st_mode) != mode:
        with _held(workspace, path, shown, create=False) as held, held.open() as file:
            os.fchmod(file.fileno(), mode)


def _change_entry(step: Step, workspace: Workspace, shown: str) -> None:
    """Remove, link or make a folder."""
    _refuse_changed(step.path, step.now, shown)
    creates = step.target.kind != "absent"
    with _held(workspace, step.path, shown, create=creates) as held:
        match step.target.kind:
            case "absent" if step.now.state.kind == "folder":
                with suppress(OSError):
                    held.rmdir()  # What somebody else put into it keeps it.
            case "absent":
                if step.now.state.kind == "file":
                    check_writable(held, shown)
                held.unlink()
            case "folder":
                if step.now.state.kind != "absent":
                    held.unlink()
                os.mkdir(held.name, dir_fd=held.folder)
            case "link":
                if step.now.state.kind == "folder":
                    held.rmdir()
                unfinished = held.beside(_unfinished_name())
                os.symlink(step.target.target, unfinished.name, dir_fd=held.folder)
                unfinished.replace(held)
            case "file" | "other":
                raise WorkspaceError(f"{shown} is something that cannot be made again")


def _refuse_changed(path: Path, now: Observed, shown: str) -> None:
    """Raise `WorkspaceError` if the path is not as it was a moment ago."""
    try:
        same = look(path)[0].same_as(now.state)
    except OSError as error:
        raise WorkspaceError(f"{shown} could not be read: {reason(error)}") from error
    if not same:
        raise WorkspaceError(f"{shown} changed just now")
