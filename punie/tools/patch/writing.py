"""Carrying out what was planned for several files: all of it, or nothing that stays."""

from collections.abc import Sequence
from pathlib import Path

import anyio

from punie.tools.base import ToolContext, ToolError
from punie.tools.patch.planning import FileChange
from punie.workspace.base import TextFile, WorkspaceError


async def write_changes(context: ToolContext, changes: Sequence[FileChange]) -> list[str]:
    """Write the changes and return the notes that came of it.

    When one of them fails, those before it are taken back; raises `ToolError` with the reason, and
    with the files that could not be taken back. A cancel waits for the end.
    """
    done: list[tuple[FileChange, TextFile | None]] = []
    with anyio.CancelScope(shield=True):
        for change in changes:
            try:
                written = await _write(context, change, done)
            except WorkspaceError as error:
                left = await _take_back(context, done)
                if left:
                    raise ToolError(
                        f"{error}; these files stay changed, look at them: {', '.join(left)}"
                    ) from error
                raise ToolError(f"{error}; no file was changed") from error
            _remember(context, change, written)
    return [written.note for _, written in done if written is not None and written.note]


async def _write(
    context: ToolContext,
    change: FileChange,
    done: list[tuple[FileChange, TextFile | None]],
) -> TextFile | None:
    """Write one change, entering in `done` how far it came."""
    workspace = context.workspace
    written = change.old
    if change.text is None:
        if change.old is not None:
            await workspace.remove(change.old)
        done.append((change, None))
        return None
    if change.old is None:
        written = await workspace.write_text(change.path, change.text)
        done.append((change, written))
        return written
    if change.to is None:
        written = await workspace.write_text(change.path, change.text, like=change.old)
        done.append((change, written))
        return written
    await workspace.move(change.path, change.to)
    done.append((FileChange(change.path, change.old, change.old.text, change.to), None))
    if change.text == change.old.text:
        return change.old
    moved = await workspace.read_text(change.to)
    written = await workspace.write_text(change.to, change.text, like=moved)
    done[-1] = (change, written)
    return written


def _remember(context: ToolContext, change: FileChange, written: TextFile | None) -> None:
    if written is not None:
        context.reads.saw(_place(change), written.digest)
    if written is None or change.to is not None:
        context.reads.forget(change.path)


def _place(change: FileChange) -> Path:
    return change.to or change.path


async def _take_back(
    context: ToolContext, done: Sequence[tuple[FileChange, TextFile | None]]
) -> list[str]:
    """Undo what was done, the newest first; return the names of files where that failed."""
    workspace = context.workspace
    left: list[str] = []
    for change, written in reversed(done):
        try:
            if change.old is None:
                if written is not None:
                    await workspace.remove(written)
                    context.reads.forget(change.path)
                continue
            if change.to is not None:
                if written is not None:
                    await workspace.write_text(change.to, change.old.text, like=written)
                await workspace.move(change.to, change.path)
            elif change.text is None:
                await workspace.write_text(change.path, change.old.text, like=change.old.form)
            elif written is not None:
                await workspace.write_text(change.path, change.old.text, like=written)
            context.reads.saw(change.path, change.old.digest)
        except WorkspaceError:
            left.append(workspace.display(_place(change)))
    return left
