"""Searching file contents: ripgrep walks with all cores, and the order is made here.

Ripgrep's own sorting would keep it to one core. So it searches unsorted first; only when there is
more than could be kept does it go again, in order, and is stopped as soon as the limit is reached,
which then comes soon.
"""

import base64
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from anyio import to_thread

from punie.workspace.base import WorkspaceError
from punie.workspace.found import MatchCounts, SearchMatch, SearchOptions, SearchResult
from punie.workspace.ripgrep import EVERYWHERE, NOT_GIT, only_names, run_ripgrep
from punie.workspace.secret_files import is_secret_name, is_secret_path

MATCH_CHARS = 300
"""Longer lines are cut to about this many characters around the match."""

MAX_UNSORTED = 1000
"""More matches than these are not collected to be sorted."""

_MAX_COUNTED_FILES = 100_000


@dataclass(frozen=True)
class _Query:
    """What ripgrep is asked for, and where: `target` lies in `root`."""

    pattern: str
    target: Path
    root: Path
    regex: bool
    glob: str | None
    any_case: bool = False
    ignored: bool = False

    def arguments(self, *more: str) -> list[str]:
        case = "--ignore-case" if self.any_case else "--smart-case"
        arguments = [*EVERYWHERE, *more, case]
        arguments.append("--engine=auto" if self.regex else "--fixed-strings")
        if "\n" in self.pattern or (self.regex and "\\n" in self.pattern):
            arguments.append("--multiline")
        if self.ignored:
            arguments.append("--no-ignore")
        if self.glob and ("/" in self.glob or self.glob.startswith("!")):
            arguments.append(f"--glob={self.glob}")
        elif self.glob:
            arguments += only_names(self.glob)
        relative = os.path.join(".", self.target.relative_to(self.root))  # noqa: PTH118, keeps "./"
        return [*arguments, NOT_GIT, f"--regexp={self.pattern}", "--", relative]


@dataclass
class _Collector:
    """Collects the lines of a search until there are more matches than `most`."""

    root: Path
    most: int
    left_out: Callable[[bytes], bool]
    files: dict[bytes, list[SearchMatch]] = field(default_factory=dict)
    matches: int = 0

    def take(self, rows: list[bytes]) -> bool:
        for row in rows:
            event: dict[str, Any] = json.loads(row)
            if event["type"] not in ("match", "context"):
                continue
            data = event["data"]
            path = _bytes(data["path"])
            if self.left_out(path):
                continue
            line = _line(data, self.root, path, matched=event["type"] == "match")
            self.files.setdefault(path, []).append(line)
            self.matches += line.matched
            if self.matches > self.most:
                return False
        return True

    def result(self, limit: int) -> SearchResult:
        """Return the lines of the first `limit` matches in path and line order."""
        lines: list[SearchMatch] = []
        matches = 0
        for path in sorted(self.files, key=lambda path: path.split(b"/")):
            for line in self.files[path]:
                matches += line.matched
                if matches > limit:
                    return SearchResult(tuple(lines), truncated=True)
                lines.append(line)
        return SearchResult(tuple(lines))


async def search_files(
    pattern: str,
    target: Path,
    root: Path,
    *,
    regex: bool,
    limit: int,
    glob: str | None,
    options: SearchOptions,
) -> SearchResult:
    """Search below `target`, which lies in `root`, for at most `limit` matches.

    Raises `WorkspaceError` with ripgrep's own reason when it refuses the pattern or the glob.
    """
    query = _Query(
        pattern, target, root, regex, glob, any_case=options.any_case, ignored=options.ignored
    )
    shape = ["--json", f"--max-count={limit + 1}"]
    if options.context:
        shape.append(f"--context={options.context}")
    left_out = _secrets_but(target.relative_to(root))
    collector = _Collector(root, MAX_UNSORTED if options.order else limit, left_out)
    complaint = await run_ripgrep(query.arguments(*shape), root, collector.take)
    if options.order and collector.matches > MAX_UNSORTED:
        collector = _Collector(root, limit, left_out)
        complaint = await run_ripgrep(query.arguments(*shape, "--sort=path"), root, collector.take)
    if complaint and not collector.matches:
        raise WorkspaceError(_sentence(complaint))
    unseen = await to_thread.run_sync(_secrets_in, target, root)
    return replace(collector.result(limit), secrets=unseen)


async def count_in_files(
    pattern: str, target: Path, root: Path, *, regex: bool, limit: int, glob: str | None
) -> MatchCounts:
    """Count the matching lines of every file below `target`, which lies in `root`.

    Raises `WorkspaceError` with ripgrep's own reason when it refuses the pattern or the glob.
    """
    found: list[tuple[bytes, int]] = []
    files = lines = 0
    left_out = _secrets_but(target.relative_to(root))

    def take(rows: list[bytes]) -> bool:
        nonlocal files, lines
        for row in rows:
            path, _, number = row.rpartition(b"\0")
            if left_out(path):
                continue
            files += 1
            lines += int(number)
            if len(found) < _MAX_COUNTED_FILES:
                found.append((path, int(number)))
        return True

    query = _Query(pattern, target, root, regex, glob)
    complaint = await run_ripgrep(
        query.arguments("--count", "--null", "--with-filename"), root, take
    )
    if complaint and not found:
        raise WorkspaceError(_sentence(complaint))
    found.sort(key=lambda each: each[0].split(b"/"))
    counts = tuple((_path(root, path), number) for path, number in found[:limit])
    unseen = await to_thread.run_sync(_secrets_in, target, root)
    return MatchCounts(counts, files, lines, unseen)


def _secrets_but(named: Path) -> Callable[[bytes], bool]:
    """Return what tells of a found file that it is left out.

    It looks secret, and is not what was `named`. This is done to what was found, for ripgrep would
    have to be given every name in every case.
    """

    @lru_cache(maxsize=4_096)
    def left_out(path: bytes) -> bool:
        return is_secret_path(os.fsdecode(path))

    return (lambda path: False) if is_secret_path(named) else left_out


def _secrets_in(target: Path, root: Path) -> int:
    """Count the files of this very folder that are left out.

    A count of all that were found would tell what is in them.
    """
    if is_secret_path(target.relative_to(root)):
        return 0
    try:
        with os.scandir(target) as entries:
            return sum(is_secret_name(entry.name) and not entry.is_dir() for entry in entries)
    except OSError:
        return 0


def _line(data: dict[str, Any], root: Path, path: bytes, *, matched: bool) -> SearchMatch:
    text = _bytes(data["lines"]).split(b"\n")[0].removesuffix(b"\r")
    start = data["submatches"][0]["start"] if data["submatches"] else 0
    return SearchMatch(
        path=_path(root, path), line=data["line_number"], text=_cut(text, start), matched=matched
    )


def _path(root: Path, path: bytes) -> Path:
    return root / os.path.normpath(os.fsdecode(path))


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
