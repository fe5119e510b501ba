"""The files of a session from both sides: as the IDE's editors have them, and as the disk does."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import anyio.to_thread

from punie.logs.setup import get_logger
from punie.workspace.base import MissingFileError, TextFile, WorkspaceError
from punie.workspace.disk_changes import DiskChanges, Watch, text_digest
from punie.workspace.editor import EditorError, EditorReader, EditorRefusedError, EditorWriter
from punie.workspace.local import LocalWorkspace
from punie.workspace.text_files import MAX_TEXT_BYTES, digest_of, encode_text, too_large

UNSAVED = "this is the unsaved text of the IDE; commands see the file as it is on disk"
NOT_SAVED = "the IDE has the new text but has not saved it yet; commands see what is on disk"
SAVED_DIFFERENTLY = "the IDE saved another text than this one; read the file again"
CONFLICT = (
    "{} has unsaved changes in the IDE and was changed on disk as well; ask the user to save or "
    "reload it in the IDE, then read it again"
)

# How long an IDE may take to save what it was given, looked at after each of these pauses.
_SAVING_PAUSES = (0.02, 0.05, 0.1, 0.15)
_COMPARED_AT_ONCE = 20
_log = get_logger(__name__)


@dataclass(frozen=True)
class _View:
    """One file from both sides: `file` is what holds, `shown` is the IDE's text as it came.

    `disk` is None for a file that is only in the IDE, `shown` when the IDE was not asked or could
    not tell. `unsaved` when what holds is not what is on disk.
    """

    file: TextFile
    disk: TextFile | None
    shown: str | None = None
    unsaved: bool = False


class IdeFiles:
    """Reads and writes the files of a session through the IDE, where it offers that.

    Which text holds, the IDE's or the disk's, depends on what commands have changed on disk.
    """

    def __init__(
        self, local: LocalWorkspace, reader: EditorReader | None, writer: EditorWriter | None
    ) -> None:
        self._local = local
        self._reader = reader
        self._writer = writer
        self._changes = DiskChanges()
        self._not_on_disk: set[Path] = set()

    async def read_text(self, path: Path) -> TextFile:
        """Read a file as the IDE shows it; raise `WorkspaceError` as `LocalWorkspace` does.

        The IDE's text does not count while it is only what a command has replaced on disk.
        """
        return (await self._look(path)).file

    async def write_text(self, path: Path, text: str, *, like: TextFile | None = None) -> TextFile:
        """Write a file through the IDE, or to the disk if that fails, which the note then says.

        When `like` is this file as it was read, a file that has changed since is not overwritten.
        Raises `WorkspaceError` when the file cannot or must not be written.
        """
        view = await self._look_if_there(path)
        shown = self._local.display(path)
        if like is not None and like.path == path:
            if view is None or view.file.digest != like.digest:
                raise WorkspaceError(f"{shown} changed just now; read it again first")
            if view.file.conflict:
                raise WorkspaceError(view.file.note)
        newline, bom = (like.newline, like.bom) if like is not None else ("\n", False)
        data = encode_text(shown, text, newline=newline, bom=bom)
        if self._writer is None:
            return await self._write_locally(path, text, view, like, "it takes no changes")
        await self._local.prepare_write(path)
        try:
            await self._writer.write(path, _for_editor(text, newline, bom, view))
        except EditorRefusedError as error:
            raise WorkspaceError(
                f"the IDE does not allow {shown} to be written: {error}"
            ) from error
        except EditorError as error:
            _log.warning("the IDE did not write", path=str(path), reason=str(error))
            return await self._write_locally(path, text, view, like, str(error))
        self._changes.settle(path)
        self._changes.touch(path)
        wanted = TextFile(path, text, digest_of(data), newline, bom)
        return await self._saved(wanted, view.disk if view is not None else None)

    async def remove(self, file: TextFile) -> None:
        """Delete a file as it was read, on disk, since no client offers that.

        Raises `WorkspaceError` if it has changed since, or has unsaved changes in the IDE.
        """
        shown = self._local.display(file.path)
        view = await self._look(file.path)
        if view.file.digest != file.digest:
            raise WorkspaceError(f"{shown} changed just now; read it again first")
        if view.unsaved or view.disk is None:
            raise WorkspaceError(
                f"{shown} has unsaved changes in the IDE; ask the user to save it, then try again"
            )
        await self._local.remove(view.disk)
        self._changes.settle(file.path)

    async def move(self, path: Path, to: Path) -> None:
        """Move a file or folder on disk, since no client offers that.

        Raises `WorkspaceError` if something there has unsaved changes in the IDE.
        """
        below = self._changes.below(path)
        await self._refuse_unsaved(below)
        await self._local.move(path, to)
        for file in below:
            self._changes.settle(file)

    async def delete(self, path: Path) -> None:
        """Delete a file of any kind or an empty folder on disk; raise `WorkspaceError`."""
        await self._refuse_unsaved(self._changes.below(path))
        await self._local.delete(path)
        self._changes.settle(path)

    async def _refuse_unsaved(self, paths: Sequence[Path]) -> None:
        for path in paths:
            try:
                view = await self._look(path)
            except WorkspaceError:
                continue  # What cannot be read as text has no editor.
            if view.unsaved:
                raise WorkspaceError(
                    f"{self._local.display(path)} has unsaved changes in the IDE; ask the user to "
                    "save it, then try again"
                )

    async def begin(self) -> Watch | None:
        """Look at the files before a command runs; None where there is no IDE to compare with."""
        if self._reader is None:
            return None
        return await anyio.to_thread.run_sync(self._changes.begin)

    async def end(self, watch: Watch | None) -> list[Path]:
        """Return the files that have changed on disk since `begin`."""
        if watch is None:
            return []
        return await anyio.to_thread.run_sync(self._changes.end, watch)

    async def compare(self, changed: Sequence[Path]) -> None:
        """Ask the IDE about files that a command changed.

        Those that it shows as they are now need no further thought; the others are compared when
        they are read.
        """
        for path in changed[:_COMPARED_AT_ONCE]:
            try:
                if (await self._look(path)).shown is None:
                    return
            except WorkspaceError:
                continue

    def python_of_the_session(self) -> Sequence[Path]:
        """Return the Python files that the session has read or written, the latest first."""
        files = self._changes.below(self._local.roots[0])
        return [path for path in reversed(files) if path.suffix in (".py", ".pyi")]

    async def _look_if_there(self, path: Path) -> _View | None:
        try:
            return await self._look(path)
        except MissingFileError:
            return None

    async def _look(self, path: Path) -> _View:
        """Read a file from both sides and decide which text holds."""
        try:
            disk = await self._local.read_text(path)
        except MissingFileError:
            if path not in self._not_on_disk:
                raise
            text = await self._ask(path)
            if text is None:
                raise
            return _View(self._from_editor(path, text, None, UNSAVED), None, text, unsaved=True)
        text = await self._ask(path)
        if text is None:
            return _View(disk, disk)
        before = self._changes.before(path)
        self._changes.touch(path)
        digest = text_digest(text)
        if digest == text_digest(disk.text):
            self._changes.settle(path)
            self._not_on_disk.discard(path)
            return _View(disk, disk, text)
        if before is not None and digest in before:
            _log.info("the IDE shows an old text", path=str(path))
            return _View(disk, disk, text)
        if before is None:
            return _View(self._from_editor(path, text, disk, UNSAVED), disk, text, unsaved=True)
        note = CONFLICT.format(self._local.display(path))
        file = replace(self._from_editor(path, text, disk, note), conflict=True)
        return _View(file, disk, text, unsaved=True)

    async def _ask(self, path: Path) -> str | None:
        """Return the IDE's text of a file, or None when it has none that could be used."""
        if self._reader is None:
            return None
        try:
            text = await self._reader.read(path)
        except EditorRefusedError as error:
            shown = self._local.display(path)
            raise WorkspaceError(f"the IDE does not allow {shown} to be read: {error}") from error
        except EditorError as error:
            _log.info("the IDE did not read", path=str(path), reason=str(error))
            return None
        if "\0" in text:
            _log.info("the IDE did not read", path=str(path), reason="it holds NUL characters")
            return None
        return text

    def _from_editor(self, path: Path, text: str, disk: TextFile | None, note: str) -> TextFile:
        """Make a file of the IDE's text, with the line ends and the mark that it is saved with."""
        shown = self._local.display(path)
        newline, bom = (disk.newline, disk.bom) if disk is not None else ("\n", False)
        if text.startswith("\ufeff"):
            text, bom = text[1:], True
        ends, returns = text.count("\n"), text.count("\r\n")
        if returns:
            # Some clients hand the bytes on as they are.
            newline = "\r\n" if returns == ends else "\n"
        if newline == "\r\n":
            text = text.replace("\r\n", "\n")
        data = encode_text(shown, text, newline=newline, bom=bom)
        if len(data) > MAX_TEXT_BYTES:
            raise too_large(shown, len(data))
        return TextFile(path, text, digest_of(data), newline, bom, note)

    async def _write_locally(
        self, path: Path, text: str, view: _View | None, like: TextFile | None, reason: str
    ) -> TextFile:
        """Write to the disk what the IDE did not take, if nothing unsaved is in the way there."""
        shown = self._local.display(path)
        disk = view.disk if view is not None else None
        if view is not None and view.unsaved:
            raise WorkspaceError(
                f"{shown} has unsaved changes in the IDE, which did not take the new text "
                f"({reason}); ask the user to save it, then try again"
            )
        same = like is not None and like.path == path
        written = await self._local.write_text(path, text, like=disk if same else like)
        if disk is not None:
            # Until the IDE notices, it shows the old text.
            self._changes.replaced(path, text_digest(disk.text))
        self._changes.touch(path)
        if self._writer is None:
            return written
        return replace(
            written, note=f"written to disk; the IDE could not be told, because {reason}"
        )

    async def _saved(self, wanted: TextFile, old: TextFile | None) -> TextFile:
        """Return the written file as it is on disk; an IDE that does not save it is left alone."""
        digest = text_digest(wanted.text)
        disk: TextFile | None = None
        for pause in (0.0, *_SAVING_PAUSES):
            await anyio.sleep(pause)
            try:
                disk = await self._local.read_text(wanted.path)
            except WorkspaceError:
                continue
            if text_digest(disk.text) == digest:
                self._not_on_disk.discard(wanted.path)
                return disk
        if disk is not None and (old is None or disk.digest != old.digest):
            return replace(wanted, note=SAVED_DIFFERENTLY)
        if disk is None:
            self._not_on_disk.add(wanted.path)
        return replace(wanted, note=NOT_SAVED)


def _for_editor(text: str, newline: str, bom: bool, view: _View | None) -> str:
    """Return the text as the IDE wants it.

    An editor that keeps line ends and marks to itself did not show any, and must not be given any.
    A client that only hands bytes on gets the text as it belongs on disk.
    """
    disk = view.disk if view is not None else None
    shown = view.shown if view is not None else None
    if disk is not None and shown is not None:
        if (disk.newline == "\r\n" or "\r" in disk.text) and "\r" not in shown:
            text, newline = text.replace("\r\n", "\n").replace("\r", "\n"), "\n"
        bom = bom and not (disk.bom and not shown.startswith("\ufeff"))
    if newline != "\n":
        text = text.replace("\n", newline)
    return f"\ufeff{text}" if bom else text
