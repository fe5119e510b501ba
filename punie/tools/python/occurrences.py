"""Where a word stands in the project's Python files, and in what: code, a string or a comment."""

import io
import re
import tokenize
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from punie.tools.base import ToolContext, ToolError
from punie.tools.guards import workspace_errors
from punie.workspace.base import TextFile, WorkspaceError

MAX_FILES = 5_000
"""In more files no word is looked for."""

_GLOB = "*.{py,pyi}"

In = Literal["code", "string", "comment"]

_Spot = tuple[int, int]


@dataclass(frozen=True)
class Occurrence:
    """A word in a file: its line (from 1), its column, and what it stands in."""

    path: Path
    line: int
    column: int
    within: In


async def files_with(
    context: ToolContext, word: str | None, places: Sequence[Path]
) -> list[TextFile]:
    """Return the Python files at or below some paths in which a word stands; all without a word.

    What an ignore file names is left out, and so is what is not text. Raises `ToolError` for too
    many and for a path where nothing is.
    """
    pattern = r"\S" if word is None else rf"\b{re.escape(word)}\b"
    found: dict[Path, TextFile] = {}
    for place in places:
        with workspace_errors():
            counts = await context.workspace.count_matches(
                pattern, place, regex=True, limit=MAX_FILES, glob=_GLOB
            )
        if counts.files > MAX_FILES:
            raise ToolError(f"{word or 'Python'} stands in more than {MAX_FILES} files")
        for path, _ in counts.counts:
            try:
                resolved = context.workspace.resolve(str(path))
                if resolved not in found:
                    found[resolved] = await context.workspace.read_text(resolved)
            except WorkspaceError:
                continue
    return list(found.values())


def occurrences(file: TextFile, word: str) -> list[Occurrence]:
    """Return all places of a word in a file, in their order.

    In a text that cannot be taken apart everything counts as code.
    """
    spans = list(_strings_and_comments(file.text))
    starts = [start for start, _, _ in spans]
    found: list[Occurrence] = []
    for number, line in enumerate(file.text.split("\n"), start=1):
        for match in re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", line):
            spot = (number, match.start())
            index = bisect_right(starts, spot) - 1
            within: In = "code"
            if index >= 0 and spot < spans[index][1]:
                within = spans[index][2]
            found.append(Occurrence(file.path, *spot, within))
    return found


def _strings_and_comments(text: str) -> Iterator[tuple[_Spot, _Spot, In]]:
    opened: list[_Spot] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            kind = tokenize.tok_name[token.type]
            if kind == "COMMENT":
                yield token.start, token.end, "comment"
            elif kind == "STRING":
                yield token.start, token.end, "string"
            elif kind.endswith("STRING_START"):
                # From Python 3.12 on strings with code in them come in pieces.
                opened.append(token.start)
            elif kind.endswith("STRING_END"):
                start = opened.pop()
                if not opened:
                    yield start, token.end, "string"
    except (tokenize.TokenError, SyntaxError, ValueError):
        return
