"""The workspace of a session in an IDE: its editors' files and its terminals, else the disk."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from punie.logs.setup import get_logger
from punie.workspace.base import (
    BackgroundOutput,
    CommandRequest,
    CommandResult,
    Confinement,
    DirEntry,
    LineRange,
    OutputSink,
    PathInfo,
    ProgramRequest,
    ProgramResult,
    ProgramSource,
    TerminalSink,
    TextFile,
)
from punie.workspace.disk_changes import Watch
from punie.workspace.editor import EditorReader, EditorWriter, Terminals
from punie.workspace.found import (
    DEFAULT_SEARCH,
    FoundFiles,
    MatchCounts,
    SearchOptions,
    SearchResult,
)
from punie.workspace.ide_files import IdeFiles
from punie.workspace.local import LocalWorkspace
from punie.workspace.lsp.servers import LanguageServers
from punie.workspace.terminals import NoTerminalError, TerminalRunner

if TYPE_CHECKING:
    from punie.workspace.lsp.client import LanguageServer

_log = get_logger(__name__)


class IdeWorkspace:
    """A `LocalWorkspace` that reads, writes and runs through the IDE where the IDE offers it.

    The boundary is checked before the IDE hears of a path. Searching and listing see the
    disk. What the IDE fails to do is done locally; what it does not allow is not done.
    """

    def __init__(
        self,
        local: LocalWorkspace,
        *,
        reader: EditorReader | None = None,
        writer: EditorWriter | None = None,
        terminals: Terminals | None = None,
    ) -> None:
        self._local = local
        self._terminals = TerminalRunner(terminals) if terminals is not None else None
        self._files = IdeFiles(local, reader, writer)
        self._watches: dict[str, Watch | None] = {}
        self._servers = LanguageServers(
            local.roots,
            local.find_program,
            self._files.read_text,
            self._files.python_of_the_session if reader is not None else None,
        )

    @property
    def roots(self) -> tuple[Path, ...]:
        """The absolute roots; the first is the session's working directory."""
        return self._local.roots

    def resolve(self, path: str) -> Path:
        """Make a path from the model absolute; raise `OutsideWorkspaceError` if it leads out."""
        return self._local.resolve(path)

    def resolve_entry(self, path: str) -> Path:
        """Do the same for a path that is to be moved or deleted; a link or a root is refused."""
        return self._local.resolve_entry(path)

    def display(self, path: Path) -> str:
        """Return the path relative to the first root, or absolute outside of it."""
        return self._local.display(path)

    async def list_dir(self, path: Path) -> tuple[DirEntry, ...]:
        """List a folder on disk; raise `WorkspaceError`."""
        return await self._local.list_dir(path)

    async def read_lines(
        self, path: Path, first: int, last: int | None, *, limit: int
    ) -> LineRange:
        """Read lines of a file of any size as it is on disk; raise `WorkspaceError`."""
        return await self._local.read_lines(path, first, last, limit=limit)

    async def info(self, path: Path) -> PathInfo:
        """Tell what is at a path on disk; raise `MissingFileError` if there is nothing."""
        return await self._local.info(path)

    async def find_files(self, pattern: str, path: Path, *, limit: int) -> FoundFiles:
        """Find files on disk by a glob or a piece of their name, honouring ignore files."""
        return await self._local.find_files(pattern, path, limit=limit)

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
        """Search files as they are on disk; raise `WorkspaceError`."""
        return await self._local.search(
            pattern, path, regex=regex, limit=limit, glob=glob, options=options
        )

    async def count_matches(
        self, pattern: str, path: Path, *, regex: bool, limit: int, glob: str | None = None
    ) -> MatchCounts:
        """Count the matching lines of files as they are on disk; raise `WorkspaceError`."""
        return await self._local.count_matches(pattern, path, regex=regex, limit=limit, glob=glob)

    async def read_text(self, path: Path) -> TextFile:
        """Read a file as the IDE shows it; raise `WorkspaceError`."""
        return await self._files.read_text(path)

    async def write_text(self, path: Path, text: str, *, like: TextFile | None = None) -> TextFile:
        """Write a file through the IDE, or to the disk if that fails; raise `WorkspaceError`."""
        return await self._files.write_text(path, text, like=like)

    async def remove(self, file: TextFile) -> None:
        """Delete a file as it was read, on disk; raise `WorkspaceError`."""
        await self._files.remove(file)

    async def move(self, path: Path, to: Path) -> None:
        """Move a file or folder on disk; raise `WorkspaceError`."""
        await self._files.move(path, to)

    async def delete(self, path: Path) -> None:
        """Delete a file of any kind or an empty folder on disk; raise `WorkspaceError`."""
        await self._files.delete(path)

    async def run(
        self,
        request: CommandRequest,
        on_output: OutputSink | None = None,
        on_terminal: TerminalSink | None = None,
    ) -> CommandResult:
        """Run a command in a terminal of the IDE, or locally where the IDE has none to offer.

        Afterwards the files of the session that have changed on disk are compared with the IDE.
        """
        watch = await self._files.begin()
        try:
            result = await self._run(request, on_output, on_terminal)
        finally:
            with anyio.CancelScope(shield=True):
                changed = await self._files.end(watch)
        await self._files.compare(changed)
        return result

    async def start(self, request: CommandRequest) -> BackgroundOutput:
        """Start a command in the background of this machine, not in a terminal of the IDE.

        A terminal is given back with its call, and its output could not be told apart by looks.
        """
        watch = await self._files.begin()
        started = await self._local.start(request)
        self._watches[started.id] = watch
        return await self._after_look(started)

    async def background_output(self, command: str, *, stop: bool = False) -> BackgroundOutput:
        """Return what the command with this id did since the last look; `stop` ends it first."""
        return await self._after_look(await self._local.background_output(command, stop=stop))

    async def _after_look(self, output: BackgroundOutput) -> BackgroundOutput:
        """Compare the files that changed on disk since the last look with the IDE."""
        changed = await self._files.end(self._watches.pop(output.id, None))
        if output.exit_code is None or output.children:
            self._watches[output.id] = await self._files.begin()
        await self._files.compare(changed)
        return output

    async def confinement(self) -> Confinement:
        """Tell whether commands and programs run confined, in terminals of the IDE too."""
        return await self._local.confinement()

    async def find_program(self, name: str, source: ProgramSource = "any") -> Path | None:
        """Return where a program is, of what may be taken from there; see `ProgramSource`."""
        return await self._local.find_program(name, source)

    async def run_program(self, request: ProgramRequest) -> ProgramResult:
        """Run a program on this machine for what it prints; it sees what is on disk."""
        return await self._local.run_program(request)

    async def language_server(self, path: Path) -> "LanguageServer":
        """Return what answers questions about the code as the IDE's editors have it."""
        return await self._servers.of(path)

    async def aclose(self) -> None:
        """End every process that commands left running and give every terminal back."""
        try:
            if self._terminals is not None:
                await self._terminals.aclose()
            await self._servers.aclose()
        finally:
            await self._local.aclose()

    async def _run(
        self,
        request: CommandRequest,
        on_output: OutputSink | None,
        on_terminal: TerminalSink | None,
    ) -> CommandResult:
        if self._terminals is not None:
            launch = await self._local.launch(request)
            try:
                result = await self._terminals.run(request, launch, on_terminal)
            except NoTerminalError as error:
                _log.warning("the IDE opened no terminal", reason=str(error))
            else:
                await self._local.tidy()
                blocked = self._local.blocked(launch, result.exit_code, result.output)
                return replace(result, blocked=blocked)
        return await self._local.run(request, on_output)
