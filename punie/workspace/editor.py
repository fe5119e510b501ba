"""What an IDE offers to a workspace: the text in its editors, and its terminals.

Each part is offered on its own. All of them raise `EditorError`, whose message is the end of a
sentence, without a full stop.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


class EditorError(Exception):
    """The IDE did not do what it was asked to; the message says why."""


class EditorRefusedError(EditorError):
    """The IDE, or the person in front of it, does not allow what was asked."""


class EditorTimeoutError(EditorError):
    """The IDE did not answer; whether it did what it was asked is not known."""


class EditorReader(Protocol):
    """Reads files as the IDE sees them, unsaved changes included."""

    async def read(self, path: Path) -> str:
        """Return the text, with line ends as the IDE keeps them."""
        ...


class EditorWriter(Protocol):
    """Changes files through the IDE, so that the change is shown there and can be undone."""

    async def write(self, path: Path, text: str) -> None:
        """Replace the whole text; a file that does not exist is created."""
        ...


@dataclass(frozen=True)
class TerminalCommand:
    """A program to run in a terminal, and how many bytes of its output are to be kept."""

    arguments: Sequence[str]
    cwd: Path
    output_bytes: int
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TerminalOutput:
    """The output that a terminal still holds; `truncated` when its beginning is gone."""

    text: str
    truncated: bool = False


class Terminals(Protocol):
    """Runs programs in terminals that the person can watch."""

    async def create(self, command: TerminalCommand) -> str:
        """Start a program and return the terminal's id; when cancelled, nothing is left of it."""
        ...

    async def wait(self, terminal: str) -> int | None:
        """Wait for the end; return the exit code as a shell reports it, None if it is not known."""
        ...

    async def output(self, terminal: str) -> TerminalOutput:
        """Return what the program has written so far."""
        ...

    async def kill(self, terminal: str) -> None:
        """End the program; its output can still be had."""
        ...

    async def release(self, terminal: str) -> None:
        """Give the terminal back; a program that still runs is ended."""
        ...
