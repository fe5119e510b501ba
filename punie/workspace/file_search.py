"""Finding files by their names: ripgrep lists what no ignore file leaves out."""

import heapq
import os
import re
from collections.abc import Callable
from pathlib import Path

from punie.workspace.base import FoundFiles, WorkspaceError
from punie.workspace.ripgrep import EVERYWHERE, NOT_GIT, only_names, run_ripgrep

_MAGIC = re.compile(r"[*?\[\]{}]")
_KEPT_FACTOR = 8

Row = tuple[int, bytes]


async def find_files(pattern: str, folder: Path, *, limit: int) -> FoundFiles:
    """Find the files below `folder` whose names match, in any case.

    `pattern` is a glob (`**` crosses folders, a slash makes it match the end of the path) or a
    piece of a name. A piece that is in no name is looked for in the names of folders. Raises
    `WorkspaceError` for a glob that is none.
    """
    wanted = pattern.removeprefix("./")
    if _MAGIC.search(wanted):
        head, _, last = wanted.rpartition("/")
        test = _compiled(wanted) if head else None
        everything = last in ("*", "**")
        return await _list(folder, None if everything else last, test, limit, pattern)
    head, slash, last = wanted.rpartition("/")
    piece = os.fsencode(wanted.casefold())
    test = None
    if slash:
        test = lambda path: piece in path.lower()  # noqa: E731
    name = (f"{last}*" if slash else f"*{last}*") if last else None
    found = await _list(folder, name, test, limit, pattern)
    if found.total or slash:
        return found
    return await _list(folder, None, lambda path: piece in path.lower(), limit, pattern)


async def _list(
    folder: Path,
    name: str | None,
    test: Callable[[bytes], object] | None,
    limit: int,
    pattern: str,
) -> FoundFiles:
    best: list[Row] = []
    # What is no better than this need not be kept.
    worst: Row | None = None
    total = 0

    def take(rows: list[bytes]) -> bool:
        nonlocal best, worst, total
        # Rows begin with "./".
        kept = rows if test is None else [row for row in rows if test(row[1:])]
        total += len(kept)
        if worst is None:
            best += [(row.count(b"/"), row) for row in kept]
        else:
            most, last = worst
            best += [
                (depth, row)
                for row in kept
                if (depth := row.count(b"/")) < most or (depth == most and row < last)
            ]
        if len(best) > limit * _KEPT_FACTOR:
            best = heapq.nsmallest(limit, best)
            worst = best[-1]
        return True

    arguments = [*EVERYWHERE, "--files", "--null"]
    if name is not None:
        arguments += only_names(_any_case(name))
    complaint = await run_ripgrep([*arguments, NOT_GIT, "--", "./"], folder, take, separator=b"\0")
    if complaint and not total:
        raise WorkspaceError(f"{pattern} is not a valid glob: {_cause(complaint)}")
    paths = [folder / os.fsdecode(row[2:]) for _, row in heapq.nsmallest(limit, best)]
    return FoundFiles(tuple(paths), total)


def _cause(complaint: str) -> str:
    return complaint.strip().splitlines()[-1].rpartition(": ")[2]


def _any_case(glob: str) -> str:
    """Return the glob with every letter in both cases, in brackets and outside."""
    parts = re.split(r"(\[[^\]]*\])", glob)
    for at in range(0, len(parts), 2):
        parts[at] = "".join(
            f"[{letter.lower()}{letter.upper()}]"
            if letter.isalpha() and len(letter.lower()) == len(letter.upper()) == 1
            else letter
            for letter in parts[at]
        )
    for at in range(1, len(parts), 2):
        inner = parts[at][1:-1]
        mark, inner = (inner[:1], inner[1:]) if inner[:1] in ("!", "^") else ("", inner)
        parts[at] = f"[{mark}{inner.lower()}{inner.upper()}]"
    return "".join(parts)


def _compiled(glob: str) -> Callable[[bytes], object]:
    """Return a test for whole paths that begin with a slash; `glob` matches their end."""
    absolute = glob.lstrip("/")
    parts = re.findall(r"\*\*/|\*\*|\*|\?|\[[^\]]*\]|\{|\}|,|.", absolute, re.DOTALL)
    depth = 0
    regex: list[str] = []
    for part in parts:
        match part:
            case "**/":
                regex.append("(?:.*/)?")
            case "**":
                regex.append(".*")
            case "*":
                regex.append("[^/]*")
            case "?":
                regex.append("[^/]")
            case "{":
                depth += 1
                regex.append("(?:")
            case "}" if depth:
                depth -= 1
                regex.append(")")
            case "," if depth:
                regex.append("|")
            case _ if len(part) > 1:
                inner = re.sub(r"([\\\[&~|])", r"\\\1", part[1:-1])
                regex.append(f"[^{inner[1:]}]" if inner[:1] == "!" else f"[{inner}]")
            case _:
                regex.append(re.escape(part))
    try:
        found = re.compile(os.fsencode(f"(?is:.*/{''.join(regex)})"))
    except re.error as error:
        raise WorkspaceError(f"{glob} is not a valid glob: {error}") from error
    return found.fullmatch
