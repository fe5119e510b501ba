"""git: the state and history of the project's repository, read only."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, assert_never

from punie.tools.base import Tool, ToolArguments, ToolContext, ToolError, ToolResult
from punie.tools.git.diff import UNSTAGED, diff_rows, read_diff, summary
from punie.tools.git.history import (
    blame_rows,
    commit_rows,
    read_blame,
    read_commit,
    read_contents,
    read_log,
)
from punie.tools.git.repository import Repository, find_repository
from punie.tools.git.status import read_status, status_rows
from punie.tools.guards import workspace_errors
from punie.tools.presentation import Location, Presentation
from punie.tools.subjects import ReadSubject
from punie.tools.wording import count, fenced, fitting_rows, one_line, split_lines
from punie.workspace.text_files import encode_text

_SHOWN_COMMITS = 20
_MAX_BLAMED_LINES = 200
_TRAILER_ROOM = 120
_LINES = re.compile(r"(.+):(\d{1,9})(?:-(\d{1,9}))?", re.DOTALL)

Command = Literal["status", "diff", "log", "show", "blame"]


class GitArguments(ToolArguments):
    """Which question, about which path, at which commit.

    A path of blame may end in `:10-20`, the lines to look at. `ref` is what `refs.resolve_ref`
    takes, and for diff "staged" or "unstaged" as well.
    """

    command: Command
    """The question."""
    path: str | None = None
    """Only what concerns this path; for blame the file, perhaps with lines as in `a.py:10-20`."""
    ref: str | None = None
    """A commit, branch or tag, two as `a..b`, and for diff `staged` or `unstaged`."""


@dataclass(frozen=True)
class _Target:
    """What is asked about: a path, and of which lines, first and last included."""

    path: Path
    lines: tuple[int, int] | None = None


def _target(context: ToolContext, arguments: GitArguments) -> _Target:
    """Return the path and lines; raise `ToolError` for a path outside or impossible lines."""
    asked = arguments.path or "."
    lines = None
    match = _LINES.fullmatch(asked) if arguments.command == "blame" else None
    if match:
        asked, lines = match[1], (int(match[2]), int(match[3] or match[2]))
        if not 1 <= lines[0] <= lines[1]:
            raise ToolError("lines of blame are counted from 1 and come as path:first-last")
    with workspace_errors():
        path = context.workspace.resolve(asked)
    if arguments.command == "blame" and path in context.workspace.roots:
        raise ToolError("blame needs the path of a file")
    return _Target(path, lines)


async def present(context: ToolContext, arguments: GitArguments) -> Presentation:
    """Describe the call; raise `ToolError` for a path outside or arguments that do not fit."""
    target = _target(context, arguments)
    if arguments.command == "status" and arguments.ref:
        raise ToolError("status is that of now and takes no ref; use diff or show for a commit")
    title = f"git {arguments.command}"
    if arguments.ref:
        title += f" {one_line(arguments.ref, 60)}"
    if target.path != context.workspace.roots[0]:
        title += f" {context.workspace.display(target.path)}"
    if target.lines:
        title += f":{target.lines[0]}-{target.lines[1]}"
    line = target.lines[0] if target.lines else None
    return Presentation(
        title=title, kind="read", locations=(Location(path=target.path, line=line),)
    )


async def run(context: ToolContext, arguments: GitArguments) -> ToolResult:
    """Ask git and return its answer in rows."""
    presentation = await present(context, arguments)
    target = _target(context, arguments)
    with workspace_errors():
        repository = await find_repository(context, target.path)
        language, rows, outcome = await _answer(context, repository, arguments, target)
    text = _fitting(rows, context.limits.result_chars)
    shown = presentation.model_copy(
        update={
            "title": f"{presentation.title}: {outcome}" if outcome else presentation.title,
            "content": (fenced(text, language),),
        }
    )
    return ToolResult(text, shown)


async def _answer(
    context: ToolContext, repository: Repository, arguments: GitArguments, target: _Target
) -> tuple[str, list[str], str]:
    """Return the language of the answer, its rows and its outcome in a few words."""
    limit = context.limits.result_chars
    ref = arguments.ref or None
    match arguments.command:
        case "status":
            status = await read_status(context, repository)
            number = len(status.changed) + len(status.untracked)
            rows = status_rows(status, repository.display)
            return "", rows, count(number, "change") if number else "no changes"
        case "diff":
            diff = await read_diff(context, repository, ref)
            if not diff.files and not diff.left_out:
                tracked = " in tracked files" if ref in (None, UNSTAGED) else ""
                return "", [f"no differences{tracked}"], ""
            return "diff", diff_rows(diff, limit), summary(diff)
        case "log":
            commits, more = await read_log(context, repository, ref, _SHOWN_COMMITS)
            rows = [commit.row for commit in commits] or ["no commits"]
            if more:
                rows.append(f"(older ones: ref={commits[-1].short}~1)")
            return "", rows, count(len(commits), "commit")
        case "show":
            commit, diff = await read_commit(context, repository, ref)
            head = commit_rows(commit)
            used = sum(len(row) + 1 for row in head)
            body = (
                diff_rows(diff, limit - used)
                if diff.files or diff.left_out
                else ["no differences here"]
            )
            return "diff", [*head, *body], commit.short
        case "blame":
            return "", await _blame(context, repository, ref, target), ""
        case _ as unreachable:
            assert_never(unreachable)


async def _blame(
    context: ToolContext, repository: Repository, ref: str | None, target: _Target
) -> list[str]:
    shown = context.workspace.display(target.path)
    first, last = target.lines or (1, _MAX_BLAMED_LINES)
    if ref is not None:
        text = await read_contents(context, repository, ref)
        contents = None
    else:
        file = await context.workspace.read_text(target.path)
        text = file.text
        contents = encode_text(shown, text, newline=file.newline, bom=file.bom)
    total = len(split_lines(text))
    if total == 0:
        return ["the file is empty"]
    if first > total:
        raise ToolError(f"{shown} ends at line {total}, before line {first}")
    last = min(last, total, first + _MAX_BLAMED_LINES - 1)
    rows = blame_rows(await read_blame(context, repository, ref, contents, (first, last)))
    wanted = total if target.lines is None else min(total, target.lines[1])
    if last < wanted:
        then = min(last + _MAX_BLAMED_LINES, wanted)
        rows.append(f"(to line {last} of {total}; go on with path={shown}:{last + 1}-{then})")
    return rows


def _fitting(rows: list[str], limit: int) -> str:
    """Join the rows that fit; a diff has already been made to fit."""
    text = "\n".join(rows)
    if len(text) <= limit:
        return text
    kept = fitting_rows(rows, limit - _TRAILER_ROOM, least=0)
    kept.append(f"(first {len(kept)} of {len(rows)} rows; narrow with path)")
    return "\n".join(kept)


def _subject(arguments: GitArguments) -> ReadSubject | None:
    """Return the path whose contents are shown, without the lines behind it."""
    if arguments.command in ("status", "log") or not arguments.path:
        return None
    lines = _LINES.fullmatch(arguments.path) if arguments.command == "blame" else None
    return ReadSubject((lines[1] if lines else arguments.path,))


GIT = Tool(
    name="git",
    description="ref: commit, a..b, staged; blame path: a.py:1-9.",
    arguments=GitArguments,
    effect="read",
    present=present,
    run=run,
    subject=_subject,
    remarks=(f"log shows {_SHOWN_COMMITS} commits, blame {_MAX_BLAMED_LINES} lines at a time.",),
)
