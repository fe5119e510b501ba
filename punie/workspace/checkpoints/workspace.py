"""A workspace whose file changes are written down, so that they can be taken back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from punie.workspace.base import (
    BackgroundOutput,
    CommandRequest,
    TextFile,
    Workspace,
    WorkspaceError,
)
from punie.workspace.checkpoints.recorder import Pending, Recorder
from punie.workspace.checkpoints.watching import CommandWatch

if TYPE_CHECKING:
    from punie.workspace.local import LocalWorkspace as _Rest
else:

    class _Rest:
        """What a workspace does besides changing files, which the inner one does."""

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)


class CheckpointedWorkspace(_Rest):
    """Another workspace, with the recorder told of every change before and after it is made.

    All that changes no file is the inner one's own.
    """

    def __init__(self, inner: Workspace, recorder: Recorder) -> None:
        self.inner = inner
        self.recorder = recorder
        self.watch = CommandWatch(inner, recorder)

    async def write_text(self, path: Path, text: str, *, like: TextFile | None = None) -> TextFile:
        """Write a file as the inner workspace does; raise `WorkspaceError`."""
        pending = await self.recorder.before_write(self.inner, path, text, like)
        try:
            written = await self.inner.write_text(path, text, like=like)
        except WorkspaceError:
            await self.recorder.not_made(pending)
            raise
        await self.recorder.after_write(pending)
        return written

    async def remove(self, file: TextFile) -> None:
        """Delete a file as it was read; raise `WorkspaceError` if it has changed since."""
        pending = await self.recorder.before_removal(self.inner, file.path, file)
        async with self._changing(pending):
            await self.inner.remove(file)

    async def delete(self, path: Path) -> None:
        """Delete a file of any kind or an empty folder; raise `WorkspaceError` if it cannot be."""
        pending = await self.recorder.before_removal(self.inner, path, None)
        async with self._changing(pending):
            await self.inner.delete(path)

    async def move(self, path: Path, to: Path) -> None:
        """Move a file or folder as the inner workspace does; raise `WorkspaceError`."""
        pending = await self.recorder.before_move(path, to)
        async with self._changing(pending):
            await self.inner.move(path, to)

    @asynccontextmanager
    async def _changing(self, pending: Pending) -> AsyncIterator[None]:
        """Write down whether what is done meanwhile was done."""
        try:
            yield
        except WorkspaceError:
            await self.recorder.not_made(pending)
            raise
        await self.recorder.after_change(pending)

    async def start(self, request: CommandRequest) -> BackgroundOutput:
        """Start a command in the background."""
        self.watch.runs_on = True
        return await self.inner.start(request)

    async def aclose(self) -> None:
        """End every process that commands of this workspace left running."""
        self.watch.close()
        await self.inner.aclose()
