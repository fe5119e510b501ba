"""What is at a path for the person: the IDE's unsaved text if there is one, else the disk."""

from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

from punie.workspace.base import (
    MissingFileError,
    NotTextError,
    TextFile,
    TooLargeError,
    Workspace,
    WorkspaceError,
)
from punie.workspace.checkpoints.states import FileState, look
from punie.workspace.text_files import encode_text, reason


@dataclass(frozen=True)
class Observed:
    """What is at a path, its bytes if they can be kept, and its text if it is a text file."""

    state: FileState
    data: bytes | None = None
    file: TextFile | None = None


async def observe(workspace: Workspace, path: Path) -> Observed:
    """Look at a path; raise `WorkspaceError` if that is not possible or the IDE disagrees."""
    place(workspace, path)
    try:
        state, data = await anyio.to_thread.run_sync(look, path)
        in_folder = await anyio.to_thread.run_sync(path.parent.is_dir)
    except OSError as error:
        shown = workspace.display(path)
        raise WorkspaceError(f"{shown} could not be read: {reason(error)}") from error
    if state.kind not in ("file", "absent") or not (state.kept and in_folder):
        return Observed(state)
    try:
        file = await workspace.read_text(path)
    except (MissingFileError, NotTextError, TooLargeError):
        return Observed(state, data)
    if file.conflict:
        raise WorkspaceError(file.note)
    return text_observed(workspace, file, state)


def text_observed(workspace: Workspace, file: TextFile, disk: FileState) -> Observed:
    """Return what a text file is that was read, with the permission bits that are on disk."""
    shown = workspace.display(file.path)
    data = encode_text(shown, file.text, newline=file.newline, bom=file.bom)
    return Observed(FileState("file", file.digest, disk.mode), data, file)


def place(workspace: Workspace, path: Path) -> None:
    """Raise `WorkspaceError` if the path now leads elsewhere, through a link on the way to it."""
    if path in workspace.roots:
        raise WorkspaceError(f"{workspace.display(path)} is a folder of the workspace itself")
    if workspace.resolve(str(path.parent)) != path.parent:
        raise WorkspaceError(f"{workspace.display(path)} is behind a symbolic link now")
