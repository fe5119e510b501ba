"""Commits: the log of a path, one commit whole, and who last changed which line."""

import re
from dataclasses import dataclass

from punie.tools.base import ToolContext, ToolError
from punie.tools.git.diff import Diff, compare, empty_tree
from punie.tools.git.refs import Commit, CommitRange, is_empty, resolve_commit, resolve_ref
from punie.tools.git.repository import Repository, ask_git, legible, run_git
from punie.tools.wording import one_line, split_lines

_FIELDS = ("%H", "%h", "%P", "%aN", "%as", "%D", "%s", "%b")
_SUBJECT_CHARS = 120
_BODY_CHARS = 4_000


@dataclass(frozen=True)
class LoggedCommit:
    """One commit. `date` is the author's, YYYY-MM-DD; `refs` the branches and tags at it."""

    id: str
    short: str
    parents: tuple[str, ...]
    author: str
    date: str
    refs: str
    subject: str
    body: str

    @property
    def row(self) -> str:
        """The commit in one line."""
        refs = f" ({_clean(self.refs)})" if self.refs else ""
        subject = one_line(self.subject, _SUBJECT_CHARS) or "(no subject)"
        return f"{self.short} {self.date} {_clean(self.author)}: {subject}{refs}"


async def read_log(
    context: ToolContext, repository: Repository, ref: str | None, number: int
) -> tuple[list[LoggedCommit], bool]:
    """Return the last commits that changed the path, newest first, and whether there are more."""
    if ref is None and await is_empty(context, repository):
        return [], False
    start: Commit | CommitRange = await resolve_ref(context, repository, ref or "HEAD")
    path = repository.path
    follow: list[str] = []
    if path:
        kind = await run_git(context, repository, ["cat-file", "-t", f"HEAD:{path}"])
        follow = [] if kind.stdout.strip() == "tree" else ["--follow"]
    commits = await _commits(
        context,
        repository,
        [
            f"--max-count={number + 1}",
            *follow,
            start.id if isinstance(start, Commit) else str(start),
            "--",
            *([path] if path else []),
        ],
    )
    return commits[:number], len(commits) > number


async def read_commit(
    context: ToolContext, repository: Repository, ref: str | None
) -> tuple[LoggedCommit, Diff]:
    """Return one commit and what it changed in the path, against its first parent."""
    id = await resolve_commit(context, repository, ref or "HEAD")
    [commit] = await _commits(context, repository, ["--max-count=1", id, "--"])
    before = commit.parents[0] if commit.parents else await empty_tree(context, repository)
    return commit, await compare(context, repository, [before, id])


def commit_rows(commit: LoggedCommit) -> list[str]:
    """Return the commit's line and its message below."""
    rows = [commit.row]
    if len(commit.parents) > 1:
        merged = ", ".join(parent[:10] for parent in commit.parents)
        rows.append(f"merge of {merged}; the diff is with the first of them")
    body = "\n".join(_clean(line) for line in commit.body.strip().split("\n"))
    if body:
        rows.append(body if len(body) <= _BODY_CHARS else f"{body[:_BODY_CHARS]}…")
    return rows


async def _commits(
    context: ToolContext, repository: Repository, arguments: list[str]
) -> list[LoggedCommit]:
    text = await ask_git(
        context,
        repository,
        [
            "log",
            "-z",
            f"--format={'%x00'.join(_FIELDS)}",
            "--encoding=UTF-8",
            "--no-color",
            "--no-show-signature",
            "--no-patch",
            "--no-ext-diff",
            "--no-textconv",
            "--decorate=short",
            *arguments,
        ],
    )
    # Records end with the same character as fields: every eighth begins another commit.
    words = legible(text).split("\0")
    width = len(_FIELDS)
    return [
        LoggedCommit(id, short, tuple(parents.split()), author, date, refs, subject, body)
        for id, short, parents, author, date, refs, subject, body in (
            words[start : start + width] for start in range(0, len(words) - width + 1, width)
        )
    ]


@dataclass(frozen=True)
class BlamedLine:
    """One line and the commit that it comes from; `commit` is None while it is in none."""

    number: int
    text: str
    commit: str | None
    author: str = ""
    date: str = ""
    subject: str = ""


async def read_contents(context: ToolContext, repository: Repository, ref: str) -> str:
    """Return the file at the repository's path as it was in a commit."""
    id = await resolve_commit(context, repository, ref)
    arguments = ["cat-file", "blob", f"{id}:{repository.path}"]
    found = await run_git(context, repository, arguments)
    if found.exit_code != 0:
        name = repository.display(repository.path)
        raise ToolError(f"there is no file {name} in commit {id[:10]}")
    return found.stdout


_BLAME_HEADER = re.compile(r"([0-9a-f]{40,64}) \d+ (\d+)(?: \d+)?")


async def read_blame(
    context: ToolContext,
    repository: Repository,
    ref: str | None,
    contents: bytes | None,
    lines: tuple[int, int],
) -> list[BlamedLine]:
    """Return who last changed each of the lines, first and last included.

    Without `ref` it is the file as it is now, whose `contents` the workspace knows.
    """
    arguments = ["blame", "--porcelain", "--no-textconv", "--encoding=UTF-8"]
    # The repository may name any file there, of which git quotes what is no commit.
    arguments.append("--no-ignore-revs-file")
    arguments.append(f"-L{lines[0]},{lines[1]}")
    if ref is not None:
        arguments.append(await resolve_commit(context, repository, ref))
    elif await is_empty(context, repository):
        raise ToolError("the repository has no commits yet")
    else:
        arguments += ["--contents", "-"]
    text = await ask_git(
        context, repository, [*arguments, "--", repository.path], stdin=contents or b""
    )
    return parse_blame(text)


def parse_blame(text: str) -> list[BlamedLine]:
    """Read the output of `git blame --porcelain`: what is said of a commit is said once."""
    known: dict[str, dict[str, str]] = {}
    lines: list[BlamedLine] = []
    id, number = "", 0
    for row in split_lines(legible(text)):
        if row.startswith("\t"):
            said = known[id]
            seconds = int(said.get("author-time", "0"))
            new = not id.strip("0")
            lines.append(
                BlamedLine(
                    number,
                    row[1:].removeprefix("\ufeff").removesuffix("\r"),
                    None if new else id,
                    said.get("author", ""),
                    _date(seconds, said.get("author-tz", "+0000")),
                    said.get("summary", ""),
                )
            )
        elif header := _BLAME_HEADER.fullmatch(row):
            id, number = header[1], int(header[2])
            known.setdefault(id, {})
        else:
            name, _, value = row.partition(" ")
            known[id][name] = value
    return lines


def blame_rows(lines: list[BlamedLine]) -> list[str]:
    """Return a heading for each run of lines of one commit, and the numbered lines below."""
    rows: list[str] = []
    last: str | None = ""
    for line in lines:
        if line.commit != last:
            last = line.commit
            if line.commit is None:
                rows.append("not committed yet:")
            else:
                subject = one_line(line.subject, _SUBJECT_CHARS)
                rows.append(f"{line.commit[:10]} {line.date} {_clean(line.author)}: {subject}")
        rows.append(f"{line.number}:{line.text}")
    return rows


def _date(seconds: int, zone: str) -> str:
    """Return the day on the author's own calendar."""
    from datetime import UTC, datetime, timedelta

    sign = -1 if zone.startswith("-") else 1
    offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5])) * sign
    return (datetime.fromtimestamp(seconds, UTC) + offset).strftime("%Y-%m-%d")


def _clean(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
