"""The files that a language server is told the text of, because an editor may hold another."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

from punie.workspace.base import TextFile, WorkspaceError
from punie.workspace.lsp import wire
from punie.workspace.lsp.connection import Connection
from punie.workspace.text_files import digest_of

ReadText = Callable[[Path], Awaitable[TextFile]]
"""Reads a file as the workspace does, unsaved text included."""


@dataclass
class _Document:
    version: int
    text: str


class Documents:
    """Keeps the open documents of one connection as the workspace reads them."""

    def __init__(self, connection: Connection, read: ReadText) -> None:
        self._connection = connection
        self._read = read
        self._open: dict[Path, _Document] = {}

    def text(self, path: Path) -> str | None:
        """Return the text that the server was told of a file, None if it reads the disk."""
        document = self._open.get(path)
        return None if document is None else document.text

    async def update(
        self, wanted: Iterable[Path], doubtful: Sequence[Path], overlay: Mapping[Path, str]
    ) -> bool:
        """Tell the server the texts of the wanted files, of the doubtful ones that are unsaved,
        and in place of a file's text the one that `overlay` has; tell whether anything was new.

        Of other files the server reads what is on disk. Raises `WorkspaceError` for a wanted file
        that cannot be read.
        """
        keep: dict[Path, str] = dict(overlay)
        for path in wanted:
            if path not in keep:
                keep[path] = (await self._read(path)).text
        for path in dict.fromkeys((*doubtful, *self._open)):
            if path not in keep and (text := await self._unsaved(path)) is not None:
                keep[path] = text
        new = False
        for path in [path for path in self._open if path not in keep]:
            del self._open[path]
            self._connection.notify("textDocument/didClose", wire.document(path))
        for path, text in keep.items():
            new = self._tell(path, text) or new
        return new

    def _tell(self, path: Path, text: str) -> bool:
        document = self._open.get(path)
        if document is None:
            self._open[path] = _Document(1, text)
            self._connection.notify("textDocument/didOpen", wire.opened(path, text))
            return True
        if document.text == text:
            return False
        document.version += 1
        document.text = text
        changed = wire.changed(path, document.version, text)
        self._connection.notify("textDocument/didChange", changed)
        return True

    async def _unsaved(self, path: Path) -> str | None:
        """Return the text of a file if it is not what is on disk."""
        try:
            file = await self._read(path)
        except WorkspaceError:
            return None
        try:
            data = await anyio.to_thread.run_sync(path.read_bytes)
        except OSError:
            return file.text
        return None if digest_of(data) == file.digest else file.text
