"""The problems that an edit brings into Python files, told with the edit's own result.

The language server is asked before the edit and after it: what it says of a file depends on all
others. ruff reads the new text, and the old one only if the new one has problems. All of that has
two seconds, where it is not to be whole, and may fail: an edit that was made has succeeded,
whatever becomes of the checks.
"""

import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from pathlib import Path

import anyio

from punie.tools.base import ToolContext, ToolResult
from punie.tools.python.foreign import without_foreign_values
from punie.tools.python.new_problems import in_new_lines, most_telling, new_problems
from punie.tools.python.problems import Problem, of_server, row
from punie.tools.python.ruff import lint_file
from punie.tools.python.targets import SUFFIXES
from punie.tools.wording import fenced
from punie.workspace.base import MissingFileError, TextFile, WorkspaceError
from punie.workspace.roots import root_of

BEFORE_SECONDS = 0.7
AFTER_SECONDS = 1.3

_SHOWN = 8
_MAX_FILES = 8
_MAX_CHARS = 300_000
_ESSENTIAL = "E9,F"
_SETTINGS = ("ruff.toml", ".ruff.toml", "pyproject.toml")
_log = logging.getLogger(__name__)

TypesBefore = Mapping[Path, Sequence[Problem]]
"""What was wrong with types in files before an edit; one that is not in it was not looked at."""


@dataclass(frozen=True)
class Change:
    """A file that was changed; a text of None is a file that is not there.

    `was` is where a file was that has moved, `renamed` the old and the new name of a symbol: what
    was wrong before is said with the new one.
    """

    path: Path
    old: str | None
    new: str | None
    was: Path | None = None
    renamed: tuple[str, str] | None = None


async def types_before(context: ToolContext, paths: Sequence[Path]) -> TypesBefore:
    """Return what is wrong with types in the files that are about to change, if known in time."""
    python = [path for path in paths if path.suffix in SUFFIXES][:_MAX_FILES]
    found: dict[Path, list[Problem]] = {}
    if context.check_edits == "off":
        return found

    async def ask() -> None:
        found.update(await _types(context, python, {}))

    with anyio.move_on_after(_seconds(context, BEFORE_SECONDS)) as scope:
        await _attempt(ask)
    if scope.cancelled_caught:
        _log.debug("the language server took too long before an edit")
    return found


async def with_diagnostics(
    context: ToolContext,
    result: ToolResult,
    changes: Sequence[Change],
    before: TypesBefore | None = None,
) -> ToolResult:
    """Return the result of an edit with the problems that it brought; never raises for those.

    `before` comes from `types_before`. Without it, what is wrong with types counts in new lines.
    """
    wanted = [change for change in changes if _is_checked(change)][:_MAX_FILES]
    if not wanted or context.check_edits == "off":
        return result
    types: dict[Path, list[Problem]] = {}
    linted: dict[Path, list[Problem]] = {}

    async def ask_server() -> None:
        new = {change.path: change.new for change in wanted if change.new is not None}
        types.update(await _types(context, list(new), new))

    async def ask_ruff(change: Change) -> None:
        linted[change.path] = await _new_lint(context, change)

    with anyio.move_on_after(_seconds(context, AFTER_SECONDS)) as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_attempt, ask_server)
            for change in wanted:
                tasks.start_soon(_attempt, partial(ask_ruff, change))
    if scope.cancelled_caught:
        _log.debug("checking an edit took too long, and some of it was left out")
    problems: list[Problem] = []
    for change in wanted:
        new_types = _new_types(change, types.get(change.path, ()), before or {})
        problems += most_telling([*linted.get(change.path, ()), *new_types])
    return _told(context, result, await without_foreign_values(context, problems))


def _seconds(context: ToolContext, usual: float) -> float:
    return inf if context.check_edits == "whole" else usual


def _is_checked(change: Change) -> bool:
    longest = max(len(change.old or ""), len(change.new or ""))
    python = change.path.suffix in SUFFIXES and change.new is not None
    return python and longest <= _MAX_CHARS


async def _new_lint(context: ToolContext, change: Change) -> list[Problem]:
    """Return what ruff finds in the new text and did not find in the old one."""
    root = root_of(context.workspace.roots, change.path)
    select = await _selection(context, change.path, root)

    async def read(text: str) -> list[Problem]:
        return await lint_file(context, TextFile(change.path, text, ""), root, extra=select)

    old, new = change.old or "", change.new or ""
    found = await read(new) if new else []
    before = await read(old) if found and old else []
    return new_problems(old, new, _with_new_name(change, before), found)


def _new_types(change: Change, after: Sequence[Problem], before: TypesBefore) -> Sequence[Problem]:
    """Return what is wrong with types and was not before, as far as that is known."""
    if change.old is None:
        return after
    known = before.get(change.was or change.path)
    if known is None:
        return in_new_lines(change.old, change.new or "", after)
    return new_problems(change.old, change.new or "", _with_new_name(change, known), after)


def _with_new_name(change: Change, problems: Sequence[Problem]) -> Sequence[Problem]:
    if change.renamed is None:
        return problems
    old, new = change.renamed
    word = re.compile(rf"\b{re.escape(old)}\b")
    return [replace(each, message=word.sub(new, each.message)) for each in problems]


async def _types(
    context: ToolContext, paths: Sequence[Path], texts: Mapping[Path, str]
) -> dict[Path, list[Problem]]:
    """Return what is wrong with types in files, with `texts` in place of what they hold."""
    found: dict[Path, list[Problem]] = {}
    for root in context.workspace.roots:
        own = [path for path in paths if root_of(context.workspace.roots, path) == root]
        if own:
            server = await context.workspace.language_server(root)
            own_texts = {path: texts[path] for path in own if texts}
            hurried = context.check_edits == "in_time"
            asked = await server.diagnostics(own, own_texts, hurried=hurried)
            for path, listed in asked.items():
                found[path] = [of_server(each) for each in listed]
    return found


async def _selection(context: ToolContext, path: Path, root: Path) -> tuple[str, ...]:
    """Return ruff's arguments for what is essential and what the project has chosen beyond that."""
    folder = path.parent
    while folder.is_relative_to(root):
        for name in _SETTINGS:
            try:
                text = (await context.workspace.read_text(folder / name)).text
            except MissingFileError:
                continue
            except WorkspaceError:
                break
            if name != "pyproject.toml" or "[tool.ruff" in text:
                return (f"--extend-select={_ESSENTIAL}",)
        folder = folder.parent
    return (f"--select={_ESSENTIAL}",)


async def _attempt(check: Callable[[], Awaitable[None]]) -> None:
    try:
        await check()
    except Exception:
        _log.debug("a check of an edit failed", exc_info=True)


def _told(context: ToolContext, result: ToolResult, problems: Sequence[Problem]) -> ToolResult:
    if not problems:
        return result
    rows = [row(context, problem) for problem in problems[:_SHOWN]]
    if len(problems) > _SHOWN:
        rows.append(f"(and {len(problems) - _SHOWN} more; see lint and check_types)")
    text = "\n".join(["new problems:", *rows])
    shown = result.presentation
    content = (*shown.content, fenced(text))
    return replace(
        result,
        text=f"{result.text}\n{text}",
        presentation=shown.model_copy(update={"content": content}),
    )
