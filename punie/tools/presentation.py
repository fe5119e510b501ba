"""How a tool call is shown to a person: title, kind, places and content.

These types are what a presenter returns and what every front end renders. They know neither a
protocol nor a terminal.
"""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

ToolKind = Literal[
    "read", "edit", "delete", "move", "search", "execute", "think", "fetch", "switch_mode", "other"
]
"""The closed list of the Agent Client Protocol; an IDE fails to decode anything else."""


def _writable(path: Path) -> Path:
    """Return a path that can be written as JSON: names need not be UTF-8 on every disk."""
    return Path(os.fsencode(path).decode("utf-8", "replace"))


def _writable_text(text: str) -> str:
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode()


WritableText = Annotated[str, AfterValidator(_writable_text)]
"""A text that can be written as JSON: half of a character of two is shown as an escape."""

_ShownPath = Annotated[Path, AfterValidator(_writable)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Location(_Frozen):
    """A place in a file; `path` is absolute, `line` is 1-based or None for the whole file."""

    path: _ShownPath
    line: int | None = None


class TextContent(_Frozen):
    """Plain text or Markdown shown under a tool call."""

    type: Literal["text"] = "text"
    text: WritableText


class DiffContent(_Frozen):
    """A file before and after; a text of None is a file that is not there.

    `newline` and `bom` are what the file has or had on disk, so that it can be made again.
    """

    type: Literal["diff"] = "diff"
    path: _ShownPath
    old_text: str | None
    new_text: str | None
    newline: str = "\n"
    bom: bool = False


ToolContent = Annotated[TextContent | DiffContent, Field(discriminator="type")]


class Presentation(_Frozen):
    """What a person sees of one tool call, before it runs or after it has run."""

    title: WritableText
    kind: ToolKind
    locations: tuple[Location, ...] = ()
    content: tuple[ToolContent, ...] = ()
