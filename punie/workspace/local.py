"""The workspace on the local disk."""

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from punie.workspace.background import BackgroundCommands
from punie.workspace.base import (
    BackgroundOutput,
    CommandRequest,
    CommandResult,
    Confinement,
    DirEntry,
    LineRange,
    MissingFileError,
    OutputSink,
    PathInfo,
    ProgramRequest,
    ProgramResult,
    ProgramSource,
    TerminalSink,
    TextFile,
    WorkspaceError,
)
from punie.workspace.beneath import HeldPath
from punie.workspace.boundary import boundary_around
from punie.workspace.commands import END_GRACE_SECONDS, run_command, shell_command
from punie.workspace.content_search import count_in_files, search_files
from punie.workspace.entries import delete_entry, list_entries, look_at, move_entry
from punie.workspace.environment import command_environment
from punie.workspace.file_search import find_files
from punie.workspace.found import (
    DEFAULT_SEARCH,
    FoundFiles,
    MatchCounts,
    SearchOptions,
    SearchResult,
)
from punie.workspace.line_ranges import read_line_range
from punie.workspace.lsp.servers import LanguageServers
from punie.workspace.processes import ProcessGroup, end_group, is_alive
from punie.workspace.program_lookup import locate_program
from punie.workspace.programs import run_program
from punie.workspace.sandbox.confining import Launch, Sandbox
from punie.workspace.sandbox.view import UNCONFINED, SandboxOptions
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

if TYPE_CHECKING:
    from punie.workspace.lsp.client import LanguageServer

_ANYTHING = "file or folder"


class LocalWorkspace:
    """Files and processes of this machine, below the given roots; see `Workspace`."""

    def __init__(self, roots: Sequence[Path], sandbox: SandboxOptions = UNCONFINED) -> None:
        """Take the roots; the first is where relative paths start.

        `sandbox` says how commands are confined; without it they are not.
        """
        self._boundary = boundary_around(roots)
        self._groups: set[ProcessGroup] = set()
        self._sandbox = Sandbox(self._boundary.roots, sandbox)
        self._background = BackgroundCommands(self._groups, self._sandbox.blocked)
        # Made when they are first asked for, which an `IdeWorkspace` never does.
        self._servers: LanguageServers | None = None
        # Between checking the old file and replacing it no other write of ours may come.
        self._writing = threading.Lock()

    @property
    def roots(self) -> tuple[Path, ...]:
        """The absolute roots; the first is the session's working directory."""
        return self._boundary.roots

    def resolve(self, path: str) -> Path:
        """Make a path from the model absolute; raise `OutsideWorkspaceError` if it leads out."""
        return self._boundary.locate(path)

    def resolve_entry(self, path: str) -> Path:
        """Do the same for a path that is to be moved or deleted; a link or a root is refused."""
        return self._boundary.locate_entry(path)

    def display(self, path: Path) -> str:
        """Return the path relative to the first root, or absolute outside of it."""
        return self._boundary.display(path)

    async def read_text(self, path: Path) -> TextFile:
        """Read a file; raise `WorkspaceError` if it is missing, a folder or not text."""

        def read() -> TextFile:
            shown = self.display(path)
            with self._held(path, shown, "file") as held:
                return read_text_file(path, held, shown)

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
            with self._held_in_folder(path) as held, self._writing:
                write_file_atomically(held, shown, data, expected=expected)
            return decode_text(path, shown, data)

        return await anyio.to_thread.run_sync(write)

    async def remove(self, file: TextFile) -> None:
        """Delete a file as it was read; raise `WorkspaceError` if it has changed since."""
        shown = self.display(file.path)

        def remove() -> None:
            with self._held(file.path, shown, "file") as held, self._writing:
                remove_file(held, shown, expected=file.digest)

        await anyio.to_thread.run_sync(remove)

    async def prepare_write(self, path: Path) -> None:
        """Create the file's missing folders; raise `WorkspaceError` if it cannot be written."""

        def prepare() -> None:
            with self._held_in_folder(path) as held:
                check_writable(held, self.display(path))

        await anyio.to_thread.run_sync(prepare)

    @contextlib.contextmanager
    def _held(self, path: Path, shown: str, noun: str) -> Iterator[HeldPath]:
        """Hold a path whose folders are there; raise `WorkspaceError` if they are not."""
        with contextlib.ExitStack() as stack:
            try:
                held = stack.enter_context(self._boundary.hold(path))
            except FileNotFoundError as error:
                sentence = missing_sentence(self._boundary.verify(path), shown, noun)
                raise MissingFileError(sentence) from error
            except NotADirectoryError as error:
                sentence = missing_sentence(self._boundary.verify(path), shown, noun)
                kind = MissingFileError if noun == _ANYTHING else WorkspaceError
                raise kind(sentence) from error
            except OSError as error:
                raise WorkspaceError(f"{shown} could not be reached: {reason(error)}") from error
            yield held

    @contextlib.contextmanager
    def _held_in_folder(self, path: Path) -> Iterator[HeldPath]:
        """Hold a path and make the folders that it lacks; raise `WorkspaceError`."""
        with contextlib.ExitStack() as stack:
            try:
                held = stack.enter_context(self._boundary.hold(path, create=True))
            except OSError as error:
                folder = self.display(path.parent)
                raise WorkspaceError(
                    f"the folder {folder} could not be created: {reason(error)}"
                ) from error
            yield held

    async def read_lines(
        self, path: Path, first: int, last: int | None, *, limit: int
    ) -> LineRange:
        """Read lines of a file of any size, `limit` bytes at most; raise `WorkspaceError`."""
        shown = self.display(path)

        def read() -> LineRange:
            with self._held(path, shown, "file") as held:
                return read_line_range(held, shown, first, last, limit)

        return await anyio.to_thread.run_sync(read, abandon_on_cancel=True)

    async def info(self, path: Path) -> PathInfo:
        """Tell what is at a path; raise `MissingFileError` if there is nothing."""

        def look() -> PathInfo:
            shown = self.display(path)
            with self._held(path, shown, _ANYTHING) as held:
                return look_at(held, shown)

        return await anyio.to_thread.run_sync(look, abandon_on_cancel=True)

    async def move(self, path: Path, to: Path) -> None:
        """Move a file or folder, creating missing folders; nothing is overwritten."""

        def move() -> None:
            shown = self.display(path)
            with self._held(path, shown, _ANYTHING) as held:
                # Looked at before folders are made for it.
                look_at(held, shown)
                with self._held_in_folder(to) as held_to, self._writing:
                    move_entry(held, held_to, shown, self.display(to))

        await anyio.to_thread.run_sync(move)

    async def delete(self, path: Path) -> None:
        """Delete a file of any kind or an empty folder; raise `WorkspaceError` if it cannot be."""

        def delete() -> None:
            shown = self.display(path)
            with self._held(path, shown, _ANYTHING) as held, self._writing:
                delete_entry(held, shown)

        await anyio.to_thread.run_sync(delete)

    async def list_dir(self, path: Path) -> tuple[DirEntry, ...]:
        """List a folder: folders first, then files, each by name; raise `WorkspaceError`."""

        def read() -> tuple[DirEntry, ...]:
            shown = self.display(path)
            with self._held(path, shown, "folder") as held:
                return list_entries(held, shown)

        return await anyio.to_thread.run_sync(read, abandon_on_cancel=True)

    async def find_files(self, pattern: str, path: Path, *, limit: int) -> FoundFiles:
        """Find files below `path` by a glob or a piece of their name, honouring ignore files."""
        if not pattern.strip():
            raise WorkspaceError("the pattern is empty")
        info = await self.info(path)
        if info.kind != "folder":
            raise WorkspaceError(f"{self.display(path)} is a file, not a folder")
        return await find_files(pattern.strip(), path, limit=limit)

    async def search(
        self,
        pattern: str,
        path: Path,
        *,
        regex: bool,
        limit: int,
        glob: str | None = None,
        options: SearchOptions = DEFAULT_SEARCH,
    ) -> SearchResult:
        """Search file contents below `path`, honouring ignore files; raise `WorkspaceError`.

        A pattern without capital letters matches in any case.
        """
        root = self._root_of_search(pattern, path)
        return await search_files(
            pattern, path, root, regex=regex, limit=limit, glob=glob, options=options
        )

    async def count_matches(
        self, pattern: str, path: Path, *, regex: bool, limit: int, glob: str | None = None
    ) -> MatchCounts:
        """Count the matching lines of every file below `path`; raise `WorkspaceError`."""
        root = self._root_of_search(pattern, path)
        return await count_in_files(pattern, path, root, regex=regex, limit=limit, glob=glob)

    def _root_of_search(self, pattern: str, path: Path) -> Path:
        if not pattern:
            raise WorkspaceError("the pattern is empty")
        real = self._boundary.verify(path)
        if not os.path.exists(real):  # noqa: PTH110, never raises
            raise MissingFileError(missing_sentence(real, self.display(path), "file or folder"))
        return next(root for root in self.roots if path.is_relative_to(root))

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
        launch = await self.launch(request)
        try:
            result = await run_command(request, launch, self._groups, on_output)
        finally:
            await self.tidy()
        return replace(
            result, blocked=self._sandbox.blocked(launch, result.exit_code, result.output)
        )

    async def launch(self, request: CommandRequest) -> Launch:
        """Return how a command line is started here."""
        environment = await command_environment(self.roots[0])
        return await self._sandbox.launch(
            shell_command(request, self.roots, environment),
            request.cwd,
            environment,
            unsandboxed=request.unsandboxed,
        )

    def blocked(self, launch: Launch, exit_code: int | None, output: str) -> str | None:
        """Return what the sandbox kept a command from, by its exit code and output."""
        return self._sandbox.blocked(launch, exit_code, output)

    async def start(self, request: CommandRequest) -> BackgroundOutput:
        """Start a command in the background and return its id and what it did in a second."""
        return await self._background.start(request, await self.launch(request))

    async def background_output(self, command: str, *, stop: bool = False) -> BackgroundOutput:
        """Return what the command with this id did since the last look; `stop` ends it first."""
        output = await self._background.output(command, stop=stop)
        await self.tidy()
        return output

    async def confinement(self) -> Confinement:
        """Tell whether commands and programs run confined."""
        return await self._sandbox.confinement()

    async def find_program(self, name: str, source: ProgramSource = "any") -> Path | None:
        """Return where a program is, of what may be taken from there; see `ProgramSource`."""
        environment = await command_environment(self.roots[0])
        return await anyio.to_thread.run_sync(locate_program, name, self.roots, environment, source)

    async def run_program(self, request: ProgramRequest) -> ProgramResult:
        """Run a program without a shell, in the environment of commands; cancelling ends it.

        It is confined like a command: it may be one of the project's own.
        """
        environment = await command_environment(self.roots[0])
        launch = await self._sandbox.launch(
            request.arguments, request.cwd, {**environment, **request.environment}
        )
        try:
            result = await run_program(request, launch, self._groups)
        finally:
            await self.tidy()
        printed = f"{result.stdout}\n{result.stderr}"
        return replace(result, blocked=self._sandbox.blocked(launch, result.exit_code, printed))

    async def language_server(self, path: Path) -> "LanguageServer":
        """Return what answers questions about the Python code of the root that `path` is in."""
        if self._servers is None:
            self._servers = LanguageServers(self.roots, self.find_program, self.read_text)
        return await self._servers.of(path)

    async def aclose(self) -> None:
        """End the language servers and every process group that commands left running.

        Cancelling does not keep it from that.
        """
        with anyio.CancelScope(shield=True):
            if self._servers is not None:
                await self._servers.aclose()
            groups = tuple(self._groups)
            self._groups.clear()
            async with anyio.create_task_group() as tasks:
                for group in groups:
                    tasks.start_soon(end_group, group, END_GRACE_SECONDS)
            self._background.close()
            await anyio.to_thread.run_sync(self._sandbox.close)

    async def tidy(self) -> None:
        """Take away what commands needed, once nothing runs any more."""
        if not any(is_alive(group) for group in self._groups):
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._sandbox.tidy)
