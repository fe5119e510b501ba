"""The Workspace seam: the only way in which tools touch files and processes.

`punie.workspace.local.LocalWorkspace` acts on the local disk; `punie.workspace.ide.IdeWorkspace`
takes its place, operation by operation, with what an IDE offers.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from punie.workspace.file_kinds import Family
from punie.workspace.found import (
    DEFAULT_SEARCH,
    FoundFiles,
    MatchCounts,
    SearchOptions,
    SearchResult,
)

if TYPE_CHECKING:
    from punie.workspace.lsp.client import LanguageServer


class WorkspaceError(Exception):
    """An operation was refused or failed; the message is one sentence that a model can act on."""


class OutsideWorkspaceError(WorkspaceError):
    """The path leads outside the workspace roots, through `..` or a symbolic link included."""


class MissingFileError(WorkspaceError):
    """There is no file or folder at the path."""


class NotTextError(WorkspaceError):
    """The file is not UTF-8 text; `family` says what it is instead, where its bytes tell."""

    def __init__(self, message: str, family: Family | None = None) -> None:
        super().__init__(message)
        self.family = family


class IsFolderError(WorkspaceError):
    """There is a folder where a file was meant."""


class TooLargeError(WorkspaceError):
    """The file is too large to be read as a whole."""


@dataclass(frozen=True)
class TextFile:
    """A text file as read.

    `text` has `\\n` line ends; `newline` is the line end found on disk (`"\\n"` or `"\\r\\n"`)
    and `bom` tells of a byte order mark, both kept when the file is written back. `digest` is a
    hash of the bytes, to notice later changes; for text that is only in an editor, of the bytes
    that it would be saved as. `note` is one sentence, without its full stop, on how the text came
    here or got away, for the model and the person. With `conflict` the disk and an editor hold
    different changes, `note` says so, and the file is not to be written.
    """

    path: Path
    text: str
    digest: str
    newline: str = "\n"
    bom: bool = False
    note: str = ""
    conflict: bool = False

    @property
    def form(self) -> "TextFile":
        """Its line ends and mark alone, for writing where no file is."""
        return TextFile(self.path.parent, "", "", self.newline, self.bom)


@dataclass(frozen=True)
class DirEntry:
    """One entry of a folder; `size` is in bytes and 0 for folders.

    `ignored` entries are left out of searches by an ignore file; inside a folder that is ignored
    itself nothing is.
    """

    name: str
    is_dir: bool
    size: int = 0
    ignored: bool = False


@dataclass(frozen=True)
class LineRange:
    """Lines of a file from number `first` (1-based), without their ends.

    `total` is how many the file has, None if it was not read to its end.
    """

    lines: tuple[str, ...]
    first: int
    total: int | None


@dataclass(frozen=True)
class PathInfo:
    """What is at a path: `size` in bytes for a file, the number of entries for a folder."""

    kind: Literal["file", "folder", "other"]
    size: int


@dataclass(frozen=True)
class CommandResult:
    """What a shell command did.

    `output` is standard output and standard error as they came, interleaved, cut in the middle to
    the asked-for limit; `exit_code` is None when the command was ended by the timeout, or when
    whoever ran it does not know the code. `blocked` is what the sandbox kept it from, as far as
    its output tells, such as "network".
    """

    exit_code: int | None
    output: str
    timed_out: bool = False
    omitted_bytes: int = 0
    seconds: float = 0.0
    blocked: str | None = None


OutputSink = Callable[[str], Awaitable[None]]
"""Receives pieces of a running command's output, in order."""

TerminalSink = Callable[[str], Awaitable[None]]
"""Receives the id of the terminal in which the person can watch a command from now on."""


@dataclass(frozen=True)
class CommandRequest:
    """A shell command line to run in `cwd` (absolute), for at most `timeout` seconds.

    `unsandboxed` runs it with all that the user may do; otherwise it is confined if the user wants
    that.
    """

    command: str
    cwd: Path
    timeout: float
    output_limit: int = 64_000
    unsandboxed: bool = False


@dataclass(frozen=True)
class BackgroundOutput:
    """What a background command has done since it was last looked at.

    `output` is cut in the middle to the command's limit. `exit_code` is None while it runs.
    `children` tells that the command has ended and something that it started has not. `blocked` is
    as in `CommandResult`.
    """

    id: str
    command: str
    output: str
    exit_code: int | None
    children: bool = False
    blocked: str | None = None


@dataclass(frozen=True)
class Confinement:
    """Whether commands are confined: what the user wants, and why that cannot be, if so.

    `always` has a person decide in every mode about a command that is to run unconfined.
    """

    wanted: Literal["on", "always", "off"] = "off"
    missing: str = ""

    @property
    def active(self) -> bool:
        """Whether commands run confined."""
        return self.wanted != "off" and not self.missing


@dataclass(frozen=True)
class ProgramRequest:
    """A program, found or absolute, and its arguments, run without a shell in `cwd` (absolute).

    It may run for `timeout` seconds, reads `stdin` and is ended when either of its streams passes
    `output_limit` bytes, and with `memory_bounded` when it fills the memory.
    """

    arguments: tuple[str, ...]
    cwd: Path
    timeout: float
    stdin: bytes = b""
    output_limit: int = 32_000_000
    environment: Mapping[str, str] = field(default_factory=dict)
    memory_bounded: bool = False


@dataclass(frozen=True)
class ProgramResult:
    """What a program printed; bytes that are not UTF-8 are surrogates, as in file names.

    `exit_code` is None if it had to be ended, because it took too long, printed too much or, if
    neither is said, filled the memory.
    `blocked` is as in `CommandResult`.
    """

    exit_code: int | None
    stdout: str
    stderr: str
    timed_out: bool = False
    flooded: bool = False
    blocked: str | None = None


ProgramSource = Literal["any", "trusted", "project"]
"""Where a program may come from. "any": the project's environment, beside Punie, or PATH.
"trusted": nothing that the project brings, so beside Punie or a folder of PATH outside of the
roots. "project": what a command of the project would run, so never what is beside Punie."""


class Workspace(Protocol):
    """Where tools act. All paths handed to the methods come from `resolve`."""

    @property
    def roots(self) -> tuple[Path, ...]:
        """The absolute roots; the first is the session's working directory."""
        ...

    def resolve(self, path: str) -> Path:
        """Make a path from the model absolute; raise `OutsideWorkspaceError` if it leads out."""
        ...

    def resolve_entry(self, path: str) -> Path:
        """Do the same for a path that is to be moved or deleted; a link or a root is refused."""
        ...

    def display(self, path: Path) -> str:
        """Return the path as a model or a person should see it: relative to the first root."""
        ...

    async def read_text(self, path: Path) -> TextFile:
        """Read a file; raise `WorkspaceError` if it is missing, a folder or not text."""
        ...

    async def write_text(self, path: Path, text: str, *, like: TextFile | None = None) -> TextFile:
        """Write a file atomically, with `like`'s line ends and mark; create missing folders.

        When `like` is this file as it was read, a file that has changed since is not overwritten.
        """
        ...

    async def remove(self, file: TextFile) -> None:
        """Delete a file as it was read; raise `WorkspaceError` if it has changed since."""
        ...

    async def read_lines(
        self, path: Path, first: int, last: int | None, *, limit: int
    ) -> LineRange:
        """Read lines of a file of any size as it is on disk, `limit` bytes at most.

        `last` None means to the end. Raises `WorkspaceError` as `read_text` does.
        """
        ...

    async def info(self, path: Path) -> PathInfo:
        """Tell what is at a path; raise `MissingFileError` if there is nothing."""
        ...

    async def move(self, path: Path, to: Path) -> None:
        """Move a file or folder, creating missing folders; nothing is overwritten.

        Both paths come from `resolve_entry`. Raises `WorkspaceError`; nothing has moved then.
        """
        ...

    async def delete(self, path: Path) -> None:
        """Delete a file of any kind or an empty folder; raise `WorkspaceError` if it cannot be."""
        ...

    async def list_dir(self, path: Path) -> tuple[DirEntry, ...]:
        """List a folder: folders first, then files, each by name; raise `WorkspaceError`."""
        ...

    async def find_files(self, pattern: str, path: Path, *, limit: int) -> FoundFiles:
        """Find files below `path` by a glob or a piece of their name, honouring ignore files."""
        ...

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
        """Search file contents below `path`, honouring ignore files; raise `WorkspaceError`."""
        ...

    async def count_matches(
        self, pattern: str, path: Path, *, regex: bool, limit: int, glob: str | None = None
    ) -> MatchCounts:
        """Count the matching lines of every file below `path`; raise `WorkspaceError`."""
        ...

    async def run(
        self,
        request: CommandRequest,
        on_output: OutputSink | None = None,
        on_terminal: TerminalSink | None = None,
    ) -> CommandResult:
        """Run a command; cancelling ends it and all that it started.

        Its output goes to `on_output` while it comes, or else appears in a terminal of the IDE
        whose id goes to `on_terminal`.
        """
        ...

    async def start(self, request: CommandRequest) -> BackgroundOutput:
        """Start a command in the background and return its id and what it did in a second.

        The request's timeout is not looked at; it runs until it is stopped or the workspace closed.
        """
        ...

    async def background_output(self, command: str, *, stop: bool = False) -> BackgroundOutput:
        """Return what the command with this id did since the last look.

        `stop` ends it and all that it started first. Raises `WorkspaceError` for an unknown id.
        """
        ...

    async def confinement(self) -> Confinement:
        """Tell whether commands and programs run confined."""
        ...

    async def find_program(self, name: str, source: ProgramSource = "any") -> Path | None:
        """Return where a program is, of what may be taken from there; see `ProgramSource`."""
        ...

    async def run_program(self, request: ProgramRequest) -> ProgramResult:
        """Run a program without a shell for what it prints; cancelling ends it."""
        ...

    async def language_server(self, path: Path) -> "LanguageServer":
        """Return what answers questions about the Python code of the root that `path` is in.

        It knows files as `read_text` gives them and starts with the first question. Raises
        `WorkspaceError` if it is not installed.
        """
        ...

    async def aclose(self) -> None:
        """End every process that commands of this workspace left running."""
        ...
