"""lint: what ruff finds in a file, a folder or the project, and its safe fixes."""

from dataclasses import replace

from punie.tools.base import Returns, Tool, ToolContext, ToolResult, noted
from punie.tools.guards import workspace_errors
from punie.tools.presentation import Presentation
from punie.tools.python.problems import Problem, ProblemData, reported
from punie.tools.python.rewriting import (
    Rewriting,
    changed_names,
    plan_rewriting,
    with_diffs,
    write_rewriting,
)
from punie.tools.python.ruff import fixed_text, lint_target
from punie.tools.python.targets import PathArguments, Target, described, find_target
from punie.tools.subjects import FilesSubject, ReadSubject, Subject

_NAMES_CHARS = 600


class LintArguments(PathArguments):
    """Which file or folder, and whether ruff's safe fixes are to be applied."""

    fix: bool = False
    """Whether to apply ruff's safe fixes."""


async def present(context: ToolContext, arguments: LintArguments) -> Presentation:
    """Describe the call, fixes with their whole diff; raise `ToolError` if it cannot be done."""
    if not arguments.fix:
        return described(context, "Lint", arguments.path, "search")
    _, rewriting = await _plan(context, arguments)
    return with_diffs(described(context, "Fix lint in", arguments.path, "edit"), rewriting)


async def _plan(context: ToolContext, arguments: LintArguments) -> tuple[Target, Rewriting]:
    target = await find_target(context, arguments.path)
    candidates: list[Problem] = []
    if target.file is None:
        with workspace_errors():
            candidates = await lint_target(context, target) or []
    paths = (problem.path for problem in candidates if problem.fixable)
    return target, await plan_rewriting(context, target, paths, fixed_text)


async def run(context: ToolContext, arguments: LintArguments) -> ToolResult:
    """Lint, after the fixes if they are wanted, and return a row for each problem."""
    if not arguments.fix:
        target = await find_target(context, arguments.path)
        return await _lint(context, target, described(context, "Lint", arguments.path, "search"))
    target, rewriting = await _plan(context, arguments)
    notes = await write_rewriting(context, rewriting)
    shown = with_diffs(described(context, "Fix lint in", arguments.path, "edit"), rewriting)
    if target.file is not None:
        target = await find_target(context, arguments.path)
    left = await _lint(context, target, shown)
    done = f"fixed {changed_names(context, rewriting, _NAMES_CHARS)}"
    text = f"{done if rewriting.changes else 'nothing to fix'}; left: {left.text}"
    if rewriting.changes:
        left = replace(left, presentation=shown)
    return noted(replace(left, text=text), "; ".join(notes))


async def _lint(context: ToolContext, target: Target, presentation: Presentation) -> ToolResult:
    with workspace_errors():
        problems = await lint_target(context, target)
    room = context.limits.result_chars - 2 * _NAMES_CHARS
    return reported(context, presentation, problems, room)


def _subject(arguments: LintArguments) -> Subject:
    paths = (arguments.path,)
    return FilesSubject(paths) if arguments.fix else ReadSubject(paths)


LINT = Tool(
    name="lint",
    description="Lint Python; fix applies safe fixes.",
    arguments=LintArguments,
    effect="edit",
    effect_of=lambda arguments: "edit" if arguments.fix else "read",
    remarks=("Without `fix` it only looks.",),
    present=present,
    run=run,
    subject=_subject,
    returns=Returns(list[ProblemData], "Lint Python; fix applies safe fixes."),
)
