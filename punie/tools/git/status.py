"""The state of the work tree, from `git status --porcelain=v2 -z`.

Format: git's own documentation of git-status, "Porcelain Format Version 2".
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from punie.tools.base import ToolContext
from punie.tools.git.repository import Repository, ask_git
from punie.tools.wording import count

Change = Literal["modified", "added", "deleted", "renamed", "copied", "type changed"]

CHANGES: dict[str, Change] = {
    "M": "modified",
    "A": "added",
    "D": "deleted",
    "R": "renamed",
    "C": "copied",
    "T": "type changed",
}
_CONFLICTS = {
    "DD": "deleted by both",
    "AU": "added by us",
    "UD": "deleted by them",
    "UA": "added by them",
    "DU": "deleted by us",
    "AA": "added by both",
    "UU": "modified by both",
}


@dataclass(frozen=True)
class ChangedFile:
    """A tracked file with changes: `staged` in the index, `unstaged` in the work tree.

    `original` is the path before a rename or copy. `conflict` says what both sides did, in which
    case the other two are None.
    """

    path: str
    staged: Change | None = None
    unstaged: Change | None = None
    original: str | None = None
    conflict: str | None = None
    submodule: bool = False


@dataclass(frozen=True)
class Status:
    """All of it; paths are relative to the repository's top folder.

    `branch` is None with a detached HEAD, `commit` before the first commit. `untracked` holds
    folders, with a slash at their end, of which nothing is tracked.
    """

    branch: str | None
    commit: str | None
    upstream: str | None = None
    ahead: int = 0
    behind: int = 0
    changed: tuple[ChangedFile, ...] = ()
    untracked: tuple[str, ...] = ()


async def read_status(context: ToolContext, repository: Repository) -> Status:
    """Ask git for the status of the repository's path."""
    text = await ask_git(
        context,
        repository,
        [
            "status",
            "--porcelain=v2",
            "--branch",
            "--ahead-behind",
            "--untracked-files=normal",
            "--find-renames",
            # A submodule has a configuration of its own, whose filters would run.
            "--ignore-submodules=dirty",
            "-z",
            "--",
            *([repository.path] if repository.path else []),
        ],
    )
    return parse_status(text)


def parse_status(text: str) -> Status:
    """Read the output of `git status --porcelain=v2 --branch -z`; ignore what is not known."""
    headers: dict[str, str] = {}
    changed: list[ChangedFile] = []
    untracked: list[str] = []
    entries = iter(text.split("\0"))
    for entry in entries:
        kind, _, rest = entry.partition(" ")
        match kind:
            case "#":
                name, _, value = rest.partition(" ")
                headers[name] = value
            case "1" | "2" | "u":
                changed.append(_changed(kind, rest, entries))
            case "?":
                untracked.append(rest)
            case _:
                pass
    branch, commit = headers.get("branch.head"), headers.get("branch.oid")
    ahead, _, behind = headers.get("branch.ab", "+0 -0").partition(" ")
    return Status(
        branch=None if branch == "(detached)" else branch,
        commit=None if commit == "(initial)" else commit,
        upstream=headers.get("branch.upstream"),
        ahead=abs(int(ahead)),
        behind=abs(int(behind)),
        changed=tuple(changed),
        untracked=tuple(untracked),
    )


def _changed(kind: str, rest: str, entries: Iterator[str]) -> ChangedFile:
    """Read an entry; that of a rename or copy is followed by the original path."""
    fields = {"1": 7, "2": 8, "u": 9}[kind]
    *words, path = rest.split(" ", fields)
    code, submodule = words[0], words[1].startswith("S")
    if kind == "u":
        return ChangedFile(path, conflict=_CONFLICTS.get(code, "in conflict"), submodule=submodule)
    return ChangedFile(
        path,
        staged=CHANGES.get(code[0]),
        unstaged=CHANGES.get(code[1]),
        original=next(entries) if kind == "2" else None,
        submodule=submodule,
    )


def status_rows(status: Status, display: Callable[[str], str]) -> list[str]:
    """Return the status as lines: a heading and indented files for every state there is."""
    rows = [_branch_row(status)]
    staged = [_row(file.staged, file, display) for file in status.changed if file.staged]
    unstaged = [_row(file.unstaged, file, display) for file in status.changed if file.unstaged]
    conflicts = [
        f"  {display(file.path)} ({file.conflict})" for file in status.changed if file.conflict
    ]
    for heading, files in (
        ("in conflict:", conflicts),
        ("staged:", staged),
        ("not staged:", unstaged),
        ("untracked:", [f"  {display(path)}" for path in status.untracked]),
    ):
        if files:
            rows += [heading, *files]
    if len(rows) == 1:
        rows.append("nothing changed")
    return rows


def _branch_row(status: Status) -> str:
    if status.branch is None:
        row = f"detached at {(status.commit or '')[:10]}"
    else:
        row = f"branch {status.branch}"
    if status.commit is None:
        row += ", no commits yet"
    if status.upstream is not None:
        distances = [
            f"{count(number, 'commit')} {where}"
            for number, where in ((status.ahead, "ahead of"), (status.behind, "behind"))
            if number
        ]
        row += f", {' and '.join(distances) or 'even with'} {status.upstream}"
    return row


def _row(change: Change | None, file: ChangedFile, display: Callable[[str], str]) -> str:
    names = display(file.path)
    if file.original is not None and change in ("renamed", "copied"):
        names = f"{display(file.original)} -> {names}"
    return f"  {change} {names}{' (submodule)' if file.submodule else ''}"
