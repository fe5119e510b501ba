"""The workspace on the local disk."""

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import anyio
import anyio.to_thread

from punie.workspace.base import (
    CommandRequest,
    CommandResult,
    DirEntry,
    MissingFileError,
    OutputSink,
    ProgramRequest,
    ProgramResult,
    SearchResult,
    TerminalSink,
    TextFile,
    WorkspaceError,
)
from punie.workspace.boundary import boundary_around
from punie.workspace.commands import END_GRACE_SECONDS, run_command
from punie.workspace.environment import command_environment
from punie.workspace.processes import ProcessGroup, end_group
from punie.workspace.programs import locate_program, run_program
from punie.workspace.ripgrep import search_files
from punie.workspace.text_files import (
    check_writable,
    decode_text,
    encode_text,
    missing_sentence,
    read_text_file,
    reason,
    remove_file,
    write_file_atomically,
)


class LocalWorkspace:
    """Files and processes of this machine, below the given roots; see `Workspace`."""

    def __init__(self, roots: Sequence[Path]) -> None:
        """Take the roots; the first is where relative paths start."""
        self._boundary = boundary_around(roots)
        self._groups: set[ProcessGroup] = set()
        # Between checking the old file and replacing it no other write of ours may come.
        self._writing = threading.Lock()

    @property
    def roots(self) -> tuple[Path, ...]:
        """The absolute roots; the first is the session's working directory."""
        return self._boundary.roots

    def resolve(self, path: str) -> Path:
        """Make a path from the model absolute; raise `OutsideWorkspaceError` if it leads out."""
        return self._boundary.locate(path)

    def display(self, path: Path) -> str:
        """Return the path relative to the first root, or absolute outside of it."""
        return self._boundary.display(path)

    async def read_text(self, path: Path) -> TextFile:
        """Read a file; raise `WorkspaceError` if it is missing, a folder or not text."""

        def read() -> TextFile:
            return read_text_file(path, self._boundary.verify(path), self.display(path))

        return await anyio.to_thread.run_sync(read, abandon_on_cancel=True)

    async def write_text(self, path: Path, text: str, *, like: TextFile | None = None) -> TextFile:
        """Write a file atomically, with `like`'s line ends and mark; create missing folders.

        When `like` is this file as it was read, a file that has changed since is not overwritten.
        Raises `WorkspaceError` when the file cannot be written; it is unchanged then.
        """
        shown = self.display(path)
        newline, bom = (like.newline, like.bom) if like is not None else ("\n", False)
        expected = like.digest if like is not None and like.path == path else None

        def write() -> TextFile:
            data = encode_text(shown, text, newline=newline, bom=bom)
            self._make_folder(path)
            with self._writing:
                write_file_atomically(self._boundary.verify(path), shown, data, expected=expected)
            return decode_text(path, shown, data)

        return await anyio.to_thread.run_sync(write)

    async def remove(self, file: TextFile) -> None:
        """Delete a file as it was read; raise `WorkspaceError` if it has changed since."""
        shown = self.display(file.path)

        def remove() -> None:
            with self._writing:
                remove_file(self._boundary.verify(file.path), shown, expected=file.digest)

        await anyio.to_thread.run_sync(remove)

    async def prepare_write(self, path: Path) -> None:
        """Create the file's missing folders; raise `WorkspaceError` if it cannot be written."""

        def prepare() -> None:
            self._make_folder(path)
            check_writable(self._boundary.verify(path), self.display(path))

        await anyio.to_thread.run_sync(prepare)

    def _make_folder(self, path: Path) -> None:
        try:
            self._boundary.verify(path).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            folder = self.display(path.parent)
            raise WorkspaceError(
                f"the folder {folder} could not be created: {reason(error)}"
            ) from error

    async def list_dir(self, path: Path) -> tuple[DirEntry, ...]:
        """List a folder: folders first, then files, each by name; raise `WorkspaceError`."""
        shown = self.display(path)

        def read() -> tuple[DirEntry, ...]:
            real = self._boundary.verify(path)
            try:
                with os.scandir(real) as entries:
                    found = [_entry(entry) for entry in entries]
            except FileNotFoundError as error:
                raise MissingFileError(missing_sentence(real, shown, "folder")) from error
            except NotADirectoryError as error:
                if os.path.exists(real):  # noqa: PTH110
                    raise WorkspaceError(f"{shown} is a file, not a folder") from error
                raise WorkspaceError(missing_sentence(real, shown, "folder")) from error
            except OSError as error:
                raise WorkspaceError(f"{shown} could not be listed: {reason(error)}") from error
            return tuple(sorted(found, key=lambda entry: (not entry.is_dir, entry.name)))

        return await anyio.to_thread.run_sync(read, abandon_on_cancel=True)

    async def search(
        self, pattern: str, path: Path, *, regex: bool, limit: int, glob: str | None = None
    ) -> SearchResult:
        """Search file contents below `path`, honouring ignore files; raise `WorkspaceError`.

        A pattern without capital letters matches in any case.
        """
        if not pattern:
            raise WorkspaceError("the pattern is empty")
        real = self._boundary.verify(path)
        if not os.path.exists(real):  # noqa: PTH110, never raises
            raise MissingFileError(missing_sentence(real, self.display(path), "file or folder"))
        root = next(root for root in self.roots if path.is_relative_to(root))
        return await search_files(pattern, path, root, regex=regex, limit=limit, glob=glob)

    async def run(
        self,
        request: CommandRequest,
        on_output: OutputSink | None = None,
        on_terminal: TerminalSink | None = None,
    ) -> CommandResult:
        """Run a command in a process group of its own; cancelling ends the whole group.

        The command is read by bash, or by `/bin/sh` where there is no bash, in the environment of
        `command_environment`.
        """
        environment = await command_environment(self.roots[0])
        return await run_command(request, environment, self._groups, on_output)

    async def find_program(self, name: str) -> Path | None:
        """Return where a program is: in the project's environment, beside Punie, or on PATH."""
        environment = await command_environment(self.roots[0])
        return await anyio.to_thread.run_sync(locate_program, name, self.roots[0], environment)

    async def run_program(self, request: ProgramRequest) -> ProgramResult:
        """Run a program without a shell, in the environment of commands; cancelling ends it."""
        environment = await command_environment(self.roots[0])
        return await run_program(request, environment, self._groups)

    async def aclose(self) -> None:
        """End every process group that commands of this workspace left running."""
        groups, self._groups = self._groups, set()
        async with anyio.create_task_group() as tasks:
            for group in groups:
                tasks.start_soon(end_group, group, END_GRACE_SECONDS)


def _entry(entry: os.DirEntry[str]) -> DirEntry:
    try:
        if entry.is_dir():
            return DirEntry(entry.name, is_dir=True)
        return DirEntry(entry.name, is_dir=False, size=entry.stat().st_size)
    except OSError:
        # A dangling link or an entry that has just gone is listed all the same.
        return DirEntry(entry.name, is_dir=False)
