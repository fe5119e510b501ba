"""Differences between two states of the files: which files, how many lines, and the patch.

Formats: git's own documentation of git-diff, "Raw output format" and "Other diff formats" (numstat)
with `-z`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from punie.tools.base import ToolContext, ToolError
from punie.tools.git.refs import CommitRange, is_empty, resolve_ref
from punie.tools.git.repository import Repository, ask_git, legible, run_git
from punie.tools.git.status import CHANGES, Change
from punie.tools.wording import count
from punie.workspace.secret_files import is_secret_path

STAGED, UNSTAGED = "staged", "unstaged"

_MAX_LISTED_FILES = 100
_PATCH_BYTES = 2_000_000
_TRAILER_ROOM = 120
_NAMED = re.compile(r"(?:---|\+\+\+|(?:rename|copy) (?:from|to)) ")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class FileDiff:
    """What happened to one file; the numbers of lines are None for a binary file.

    Paths are relative to the workspace. `original` is the path before a rename or copy; `change`
    is None for a file in conflict.
    """

    path: str
    change: Change | None
    added: int | None = None
    deleted: int | None = None
    original: str | None = None

    @property
    def secret(self) -> bool:
        """Whether the file is, or was before a rename, one that is likely to hold secrets."""
        return is_secret_path(self.path) or is_secret_path(self.original or "")


@dataclass(frozen=True)
class Diff:
    """The files that differ, and the patch by file; `cut` when that is only its beginning.

    `left_out` counts files that are likely to hold secrets, which are only shown when named.
    """

    files: tuple[FileDiff, ...]
    sections: tuple[str, ...]
    cut: bool = False
    left_out: int = 0


async def read_diff(context: ToolContext, repository: Repository, ref: str | None) -> Diff:
    """Compare what `ref` names.

    None is the work tree with the last commit, "staged" the index with it, "unstaged" the work
    tree with the index, a commit the work tree with that, and a range its two ends.
    """
    if ref == UNSTAGED:
        return await compare(context, repository, [])
    if ref is None or ref == STAGED:
        cached = ["--cached"] if ref == STAGED else []
        if await is_empty(context, repository):
            return await compare(
                context, repository, [*cached, await empty_tree(context, repository)]
            )
        return await compare(context, repository, [*cached, "HEAD"])
    resolved = await resolve_ref(context, repository, ref)
    sides = str(resolved) if isinstance(resolved, CommitRange) else resolved.id
    return await compare(context, repository, [sides])


async def empty_tree(context: ToolContext, repository: Repository) -> str:
    """Return the object id of a tree without files, to compare a first commit with."""
    arguments = ["hash-object", "-t", "tree", "--stdin"]
    return (await ask_git(context, repository, arguments)).strip()


async def compare(context: ToolContext, repository: Repository, sides: Sequence[str]) -> Diff:
    """Run `git diff` on the repository's path; `sides` are options and object ids of ours."""
    options = [
        "--no-color",
        "--no-ext-diff",
        "--no-textconv",
        f"--src-prefix=a/{repository.shown}",
        f"--dst-prefix=b/{repository.shown}",
        "--find-renames",
        "--submodule=short",
        # A submodule has a configuration of its own, whose filters would run.
        "--ignore-submodules=dirty",
        f"--relative={repository.outer}" if repository.outer else "--no-relative",
    ]
    where = [*sides, "--", *([repository.path] if repository.path else [])]
    listed = await ask_git(
        context, repository, ["diff", *options, "--raw", "--numstat", "-z", *where]
    )
    files = parse_files(listed, repository)
    if not files:
        return Diff((), ())
    named = is_secret_path(repository.path)
    shown = files if named else tuple(file for file in files if not file.secret)
    left_out = len(files) - len(shown)
    if not shown:
        return Diff((), (), left_out=left_out)
    patch = await run_git(
        context,
        repository,
        ["diff", *options, "--patch", "--unified=3", *where],
        output_limit=_PATCH_BYTES,
    )
    if patch.exit_code != 0 and not patch.flooded:
        raise ToolError("git could not show the differences in time; narrow the path")
    sections = [each for each in _sections(patch.stdout) if named or not _is_secret(each)]
    return Diff(shown, tuple(sections), cut=patch.flooded, left_out=left_out)


def parse_files(text: str, repository: Repository) -> tuple[FileDiff, ...]:
    """Read the output of `git diff --raw --numstat -z`."""

    def shown(name: str) -> str:
        return repository.display(repository.outer + name)

    changes: dict[str, tuple[Change | None, str | None]] = {}
    numbers: dict[str, tuple[int | None, int | None]] = {}
    words = iter(text.split("\0"))
    for word in words:
        if word.startswith(":"):
            letter = word.rsplit(" ", 1)[1][:1]
            original = next(words) if letter in "RC" else None
            path = next(words)
            if path not in changes or letter == "U":
                changes[path] = (CHANGES.get(letter), original)
        elif word:
            added, deleted, path = word.split("\t", 2)
            if not path:
                next(words)
                path = next(words)
            numbers[path] = (_number(added), _number(deleted))
    return tuple(
        FileDiff(
            shown(path),
            change,
            *numbers.get(path, (0, 0)),
            original=None if original is None else shown(original),
        )
        for path, (change, original) in changes.items()
    )


def _number(text: str) -> int | None:
    return None if text == "-" else int(text)


def _sections(patch: str) -> list[str]:
    """Split a patch by file; no line inside of a file's part starts with "diff"."""
    clean = legible(patch)
    # A carriage return before the line end says nothing here; others are shown as what they are.
    clean = _CONTROL.sub("�", clean.replace("\r\n", "\n"))
    starts = [match.start() for match in re.finditer(r"^diff --", clean, re.MULTILINE)]
    ends = [*starts[1:], len(clean)]
    return [clean[start:end].rstrip("\n") for start, end in zip(starts, ends, strict=True)]


def _is_secret(section: str) -> bool:
    """Tell whether one file's part of a patch shows what is in a file that looks secret."""
    for row in section.split("\n"):
        if row.startswith("@@"):
            return False
        name = _NAMED.match(row)
        if name and is_secret_path(row[name.end() :].rstrip("\t").strip('"')):
            return True
    return False


def summary(diff: Diff) -> str:
    """Return how many files and lines differ."""
    added = sum(file.added or 0 for file in diff.files)
    deleted = sum(file.deleted or 0 for file in diff.files)
    return f"{count(len(diff.files), 'file')}, +{added} -{deleted}"


def left_out(diff: Diff) -> str:
    """Say how many files are left out, and how they are seen."""
    number = count(diff.left_out, "file")
    return f"({number} that may hold secrets left out; name one as path to see it)"


def diff_rows(diff: Diff, limit: int) -> list[str]:
    """Return the patch after a summary, in about `limit` characters.

    When not all of it fits, the files are listed first and what fits follows.
    """
    if not diff.files:
        return [left_out(diff)]
    rest = [left_out(diff)] if diff.left_out else []
    whole = [summary(diff), *diff.sections, *rest]
    if not diff.cut and sum(len(row) + 1 for row in whole) <= limit:
        return whole
    rows = [summary(diff), *rest, *(_file_row(file) for file in diff.files[:_MAX_LISTED_FILES])]
    if len(diff.files) > _MAX_LISTED_FILES:
        rows.append(f"and {len(diff.files) - _MAX_LISTED_FILES} more files")
    room = limit - sum(len(row) + 1 for row in rows) - _TRAILER_ROOM
    kept = 0
    for section in diff.sections:
        if len(section) + 1 > room or (diff.cut and kept == len(diff.sections) - 1):
            break
        rows.append(section)
        room -= len(section) + 1
        kept += 1
    if len(diff.files) == 1 and diff.sections:
        rows.append(diff.sections[0][: max(room, 0)].rpartition("\n")[0])
        rows.append("(the diff of this file is cut; read_file shows the file)")
    else:
        rows.append(f"(diffs of {kept} of {len(diff.files)} files; narrow with path)")
    return [row for row in rows if row]


def _file_row(file: FileDiff) -> str:
    name = file.path if file.original is None else f"{file.original} -> {file.path}"
    lines = "binary" if file.added is None else f"+{file.added} -{file.deleted}"
    return f"{name} {lines} ({file.change or 'in conflict'})"
