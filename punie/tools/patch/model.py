"""What a patch says, whichever form it was written in."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from punie.tools.base import ToolError


class PatchError(ToolError):
    """The patch cannot be read or does not apply; nothing has been written."""


class HunkLine(NamedTuple):
    """One line of a hunk: " " is in the old and the new text, "-" and "+" in one of them."""

    sign: Literal[" ", "-", "+"]
    text: str


@dataclass
class Hunk:
    """Lines that belong together.

    `start` is the 1-based line of the old text where they are said to begin, None where nothing is
    said. `anchors` are lines that come before them, outermost first. `at_end` says that they are
    the last ones. `old_end` and `new_end` tell whether the old and the new text end in a line end
    there; None says nothing.
    """

    lines: list[HunkLine] = field(default_factory=list)
    start: int | None = None
    anchors: list[str] = field(default_factory=list)
    at_end: bool = False
    old_end: bool | None = None
    new_end: bool | None = None

    @property
    def old(self) -> list[str]:
        """The lines of the old text."""
        return [line.text for line in self.lines if line.sign != "+"]

    @property
    def changes(self) -> bool:
        """Whether it does anything."""
        return any(line.sign != " " for line in self.lines)


@dataclass
class FilePatch:
    """What happens to one file; `to` is its new place, if it moves.

    Of an added file the hunks hold the text.
    """

    action: Literal["add", "update", "delete"]
    path: str
    to: str | None = None
    hunks: list[Hunk] = field(default_factory=list)
