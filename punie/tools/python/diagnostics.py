"""The problems that an edit brings into Python files, told with the edit's own result.

ruff reads the old and the new text; ty sees files on disk only, so it is asked before the edit and
after it. All of that has two seconds and may fail: an edit that was made has succeeded, whatever
becomes of the checks.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import anyio

from punie.tools.base import ToolContext, ToolResult
from punie.tools.python.new_problems import in_new_lines, most_telling, new_problems
from punie.tools.python.problems import Problem, row
from punie.tools.python.ruff import lint_file
from punie.tools.python.targets import SUFFIXES, root_of
from punie.tools.python.ty import check_paths
from punie.tools.wording import fenced, split_lines
from punie.workspace.base import MissingFileError, TextFile, WorkspaceError

BEFORE_SECONDS = 0.7
AFTER_SECONDS = 1.3

_SHOWN = 8
_MAX_FILES = 8
_MAX_CHARS = 300_000
_ESSENTIAL = "E9,F"
_SETTINGS = ("ruff.toml", ".ruff.toml", "pyproject.toml")
_log = logging.getLogger(__name__)

TypesBefore = Mapping[Path, Sequence[Problem]]
"""What ty said of files before an edit; a file that is not in it was not looked at."""


@dataclass(frozen=True)
class Change:
    """A file that was changed; a text of None is a file that is not there.

    `was` is where a file was that has moved.
    """

    path: Path
    old: str | None
    new: str | None
    was: Path | None = None


async def types_before(context: ToolContext, paths: Sequence[Path]) -> TypesBefore:
    """Return what ty says of the files that are about to change, if it can tell in time."""
    python = [path for path in paths if path.suffix in SUFFIXES][:_MAX_FILES]
    found: dict[Path, list[Problem]] = {}

    async def ask() -> None:
        found.update(await _types(context, python))

    with anyio.move_on_after(BEFORE_SECONDS) as scope:
        await _attempt(ask)
    if scope.cancelled_caught:
        _log.debug("ty took too long before an edit")
    return found


async def with_diagnostics(
    context: ToolContext,
    result: ToolResult,
    changes: Sequence[Change],
    before: TypesBefore | None = None,
) -> ToolResult:
    """Return the result of an edit with the problems that it brought; never raises for those.

    `before` comes from `types_before`. Without it, ty's problems count in lines that are new.
    """
    wanted = [change for change in changes if _is_checked(change)][:_MAX_FILES]
    if not wanted:
        return result
    types: dict[Path, list[Problem]] = {}
    linted: dict[Path, list[Problem]] = {}

    async def ask_ty() -> None:
        types.update(await _types(context, await _saved(context, wanted)))

    async def ask_ruff(change: Change) -> None:
        linted[change.path] = await _new_lint(context, change)

    with anyio.move_on_after(AFTER_SECONDS) as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_attempt, ask_ty)
            for change in wanted:
                tasks.start_soon(_attempt, partial(ask_ruff, change))
    if scope.cancelled_caught:
        _log.debug("checking an edit took too long, and some of it was left out")
    problems: list[Problem] = []
    for change in wanted:
        new_types = _new_types(change, types.get(change.path, ()), before or {})
        problems += most_telling([*linted.get(change.path, ()), *new_types])
    return _told(context, result, problems)


def _is_checked(change: Change) -> bool:
    longest = max(len(change.old or ""), len(change.new or ""))
    python = change.path.suffix in SUFFIXES and change.new is not None
    return python and longest <= _MAX_CHARS


async def _new_lint(context: ToolContext, change: Change) -> list[Problem]:
    """Return what ruff finds in the new text and did not find in the old one."""
    root = root_of(context, change.path)
    select = await _selection(context, change.path, root)
    found: dict[str, list[Problem]] = {"": []}

    async def read(text: str) -> None:
        file = TextFile(change.path, text, "")
        found[text] = await lint_file(context, file, root, extra=select)

    old, new = change.old or "", change.new or ""
    async with anyio.create_task_group() as tasks:
        for text in {old, new} - {""}:
            tasks.start_soon(read, text)
    return new_problems(old, new, found[old], found[new])


def _new_types(change: Change, after: Sequence[Problem], before: TypesBefore) -> Sequence[Problem]:
    """Return what ty finds and did not find before, as far as that is known."""
    if change.old is None:
        return after
    known = before.get(change.was or change.path)
    if known is None:
        return in_new_lines(change.old, change.new or "", after)
    return new_problems(change.old, change.new or "", known, after)


async def _types(context: ToolContext, paths: Sequence[Path]) -> dict[Path, list[Problem]]:
    """Return what ty says of the files, by file."""
    found: dict[Path, list[Problem]] = {path: [] for path in paths}
    for root in context.workspace.roots:
        own = [path for path in paths if root_of(context, path) == root]
        for problem in (await check_paths(context, own, root) or []) if own else []:
            # What is wrong with ty's settings is not of these files.
            if problem.path in found:
                found[problem.path].append(problem)
    return found


async def _saved(context: ToolContext, changes: Sequence[Change]) -> list[Path]:
    """Return the files whose new text is on disk: an IDE may not have saved it."""
    saved: list[Path] = []
    for change in changes:
        text = change.new or ""
        limit = 4 * len(text) + 100
        disk = (await context.workspace.read_lines(change.path, 1, None, limit=limit)).lines
        # Line ends and a byte order mark are not in the text.
        if [line.strip("\r\ufeff") for line in disk] == split_lines(text.replace("\r", "")):
            saved.append(change.path)
    return saved


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
