"""What a language server tells, in our terms: lines from 1 that end at `\\n`, columns from 0."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from punie.workspace.base import WorkspaceError


class LanguageServerError(WorkspaceError):
    """The language server is not there or gave no answer; the message is one sentence."""


@dataclass(frozen=True)
class Point:
    """A place between two characters of a file."""

    path: Path
    line: int
    column: int


@dataclass(frozen=True)
class Place:
    """A stretch of a file, from its first character to the one after its last.

    `text` is the first line of it, without its end, as the server saw it.
    """

    path: Path
    line: int
    column: int
    end_line: int
    end_column: int
    text: str

    @property
    def point(self) -> Point:
        """Where it begins."""
        return Point(self.path, self.line, self.column)


@dataclass(frozen=True)
class Symbol:
    """A class, function, variable and so on. `place` is that of its name, or of all of it where
    the name's own is not known; `children` are the symbols defined in it."""

    name: str
    kind: str
    place: Place
    children: tuple["Symbol", ...] = ()


@dataclass(frozen=True)
class Edit:
    """A stretch of a file and the text that is to replace it."""

    place: Place
    new_text: str


@dataclass(frozen=True)
class Diagnostic:
    """What the server finds wrong with a stretch of a file; `rule` names the kind of fault."""

    place: Place
    rule: str
    message: str
    severity: Literal["error", "warning", "info"]
