"""Finding files by their names: ripgrep lists what no ignore file leaves out."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio.to_thread

from punie.workspace.base import WorkspaceError
from punie.workspace.found import FoundFiles
from punie.workspace.ignore_files import IgnoreRules
from punie.workspace.ripgrep import EVERYWHERE, NOT_GIT, only_names, run_ripgrep

MAX_COLLECTED = 10_000
"""More files are neither collected nor counted: whoever asked has to narrow the search anyway."""

_MAGIC = re.compile(r"[*?\[\]{}]")


async def find_files(pattern: str, folder: Path, *, limit: int) -> FoundFiles:
    """Find the files below `folder` whose names match, in any case.

    `pattern` is a glob (`**` crosses folders, a slash makes it match the end of the path) or a
    piece of a name. A piece that is in no name is looked for in the names of folders. Of more files
    than the limit only the nearest are held against the ignore files. Raises `WorkspaceError` for a
    glob that is none.
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
    arguments = [*EVERYWHERE, "--files", "--null"]
    if name is not None:
        # It brings back what ignore files leave out, so that is taken out again below: ripgrep is
        # faster than if it had to look at the rules for every file.
        arguments.append(f"--iglob={name}")
    rows, complaint = await _rows([*arguments, NOT_GIT], folder, test, MAX_COLLECTED)
    if complaint and not rows:
        raise WorkspaceError(f"{pattern} is not a valid glob: {_cause(complaint)}")
    more = len(rows) > MAX_COLLECTED
    if more:
        rows = await _nearest(name, folder, test, limit)
    else:
        rows.sort(key=lambda row: (row.count(b"/"), row))

    def not_ignored() -> FoundFiles:
        rules = IgnoreRules(folder)
        paths: list[Path] = []
        ignored = 0
        for row in rows:
            if len(paths) == limit:
                break
            path = folder / os.fsdecode(row[2:])
            if name is not None and rules.ignores(path, is_folder=False):
                ignored += 1
            else:
                paths.append(path)
        total = MAX_COLLECTED if more else len(rows) - ignored
        return FoundFiles(tuple(paths), total, more=more)

    return await anyio.to_thread.run_sync(not_ignored, abandon_on_cancel=True)


async def _rows(
    arguments: Sequence[str], folder: Path, test: Callable[[bytes], object] | None, most: int
) -> tuple[list[bytes], str]:
    """Return what ripgrep lists, and its complaint; it is stopped when there are more than `most`.

    Rows begin with "./".
    """
    found: list[bytes] = []

    def take(rows: list[bytes]) -> bool:
        found.extend(rows if test is None else [row for row in rows if test(row[1:])])
        return len(found) <= most

    complaint = await run_ripgrep([*arguments, "--", "./"], folder, take, separator=b"\0")
    return found, complaint


async def _nearest(
    name: str | None, folder: Path, test: Callable[[bytes], object] | None, wanted: int
) -> list[bytes]:
    """Return the folder's own files and then the first ones in path order: always the same."""
    arguments = [*EVERYWHERE, "--files", "--null", "--sort=path"]
    if name is not None:
        arguments += only_names(_any_case(name))
    nearest: list[bytes] = []
    for deep in (["--max-depth=1"], []):
        rows, _ = await _rows([*arguments, *deep, NOT_GIT], folder, test, wanted)
        known = set(nearest)
        nearest += [row for row in rows if row not in known]
        if len(nearest) >= wanted:
            break
    return nearest[:wanted]


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
