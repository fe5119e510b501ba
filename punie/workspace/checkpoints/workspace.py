"""A workspace whose file changes are written down, so that they can be taken back."""

from pathlib import Path

from punie.workspace.base import (
    DEFAULT_SEARCH,
    BackgroundOutput,
    CommandRequest,
    CommandResult,
    DirEntry,
    FoundFiles,
    LineRange,
    MatchCounts,
    OutputSink,
    PathInfo,
    ProgramRequest,
    ProgramResult,
    SearchOptions,
    SearchResult,
    TerminalSink,
    TextFile,
    Workspace,
    WorkspaceError,
)
from punie.workspace.checkpoints.recorder import Recorder

COMMANDS_STAY = "What commands did to files in these turns is not taken back."


class CheckpointedWorkspace:
    """Another workspace, with the recorder told of every change before and after it is made."""

    def __init__(self, inner: Workspace, recorder: Recorder) -> None:
        self.inner = inner
        self.recorder = recorder

    @property
    def roots(self) -> tuple[Path, ...]:
        """The absolute roots; the first is the session's working directory."""
        return self.inner.roots

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
        try:
            await self.inner.remove(file)
        except WorkspaceError:
            await self.recorder.not_made(pending)
            raise
        await self.recorder.after_change(pending)

    async def delete(self, path: Path) -> None:
        """Delete a file of any kind or an empty folder; raise `WorkspaceError` if it cannot be."""
        pending = await self.recorder.before_removal(self.inner, path, None)
        try:
            await self.inner.delete(path)
        except WorkspaceError:
            await self.recorder.not_made(pending)
            raise
        await self.recorder.after_change(pending)

    async def move(self, path: Path, to: Path) -> None:
        """Move a file or folder as the inner workspace does; raise `WorkspaceError`."""
        pending = await self.recorder.before_move(path, to)
        try:
            await self.inner.move(path, to)
        except WorkspaceError:
            await self.recorder.not_made(pending)
            raise
        await self.recorder.after_change(pending)

    def resolve(self, path: str) -> Path:
        """Make a path absolute; raise `OutsideWorkspaceError` if it leads out."""
        return self.inner.resolve(path)

    def resolve_entry(self, path: str) -> Path:
        """Do the same for a path that is to be moved or deleted; a link or a root is refused."""
        return self.inner.resolve_entry(path)

    def display(self, path: Path) -> str:
        """Return the path relative to the first root, or absolute outside of it."""
        return self.inner.display(path)

    async def read_text(self, path: Path) -> TextFile:
        """Read a file; raise `WorkspaceError` if it is missing, a folder or not text."""
        return await self.inner.read_text(path)

    async def read_lines(
        self, path: Path, first: int, last: int | None, *, limit: int
    ) -> LineRange:
        """Read lines of a file of any size; raise `WorkspaceError`."""
        return await self.inner.read_lines(path, first, last, limit=limit)

    async def info(self, path: Path) -> PathInfo:
        """Tell what is at a path; raise `MissingFileError` if there is nothing."""
        return await self.inner.info(path)

    async def list_dir(self, path: Path) -> tuple[DirEntry, ...]:
        """List a folder; raise `WorkspaceError`."""
        return await self.inner.list_dir(path)

    async def find_files(self, pattern: str, path: Path, *, limit: int) -> FoundFiles:
        """Find files below `path`; raise `WorkspaceError`."""
        return await self.inner.find_files(pattern, path, limit=limit)

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
        """Search file contents; raise `WorkspaceError`."""
        return await self.inner.search(
            pattern, path, regex=regex, limit=limit, glob=glob, options=options
        )

    async def count_matches(
        self, pattern: str, path: Path, *, regex: bool, limit: int, glob: str | None = None
    ) -> MatchCounts:
        """Count the matching lines of every file below `path`; raise `WorkspaceError`."""
        return await self.inner.count_matches(pattern, path, regex=regex, limit=limit, glob=glob)

    async def run(
        self,
        request: CommandRequest,
        on_output: OutputSink | None = None,
        on_terminal: TerminalSink | None = None,
    ) -> CommandResult:
        """Run a command."""
        await self.recorder.safely(None, self.recorder.gap, COMMANDS_STAY)
        return await self.inner.run(request, on_output, on_terminal)

    async def start(self, request: CommandRequest) -> BackgroundOutput:
        """Start a command in the background."""
        await self.recorder.safely(None, self.recorder.gap, COMMANDS_STAY)
        return await self.inner.start(request)

    async def background_output(self, command: str, *, stop: bool = False) -> BackgroundOutput:
        """Return what a background command did since the last look."""
        return await self.inner.background_output(command, stop=stop)

    async def find_program(self, name: str) -> Path | None:
        """Return where a program is."""
        return await self.inner.find_program(name)

    async def run_program(self, request: ProgramRequest) -> ProgramResult:
        """Run a program without a shell for what it prints."""
        return await self.inner.run_program(request)

    async def aclose(self) -> None:
        """End every process that commands of this workspace left running."""
        await self.inner.aclose()
