"""format: files in ruff's format."""

from punie.tools.base import Tool, ToolContext, ToolResult, noted
from punie.tools.guards import workspace_errors
from punie.tools.presentation import Presentation
from punie.tools.python.problems import Problem, row
from punie.tools.python.rewriting import (
    Rewriting,
    changed_names,
    plan_rewriting,
    with_diffs,
    write_rewriting,
)
from punie.tools.python.ruff import formatted_text, unformatted
from punie.tools.python.targets import PathArguments, described, find_target
from punie.tools.subjects import FilesSubject
from punie.tools.wording import count

_NAMES_CHARS = 2_000
_MAX_NOTES = 8


async def _plan(context: ToolContext, arguments: PathArguments) -> Rewriting | None:
    """Work the new texts out; None if there is no Python."""
    target = await find_target(context, arguments.path)
    reported: list[Problem] = []
    if target.file is None:
        with workspace_errors():
            found = await unformatted(context, target)
        if found is None:
            return None
        reported = found
    paths = (each.path for each in reported if each.rule == "unformatted")
    planned = await plan_rewriting(context, target, paths, formatted_text)
    broken = {each.path: row(context, each) for each in reported if each.rule != "unformatted"}
    return Rewriting(planned.changes, (*planned.notes, *broken.values()))


async def present(context: ToolContext, arguments: PathArguments) -> Presentation:
    """Describe the call with the whole diff; raise `ToolError` if it cannot be done."""
    shown = described(context, "Format", arguments.path, "edit")
    rewriting = await _plan(context, arguments)
    return shown if rewriting is None else with_diffs(shown, rewriting)


async def run(context: ToolContext, arguments: PathArguments) -> ToolResult:
    """Format the files as they are now."""
    shown = described(context, "Format", arguments.path, "edit")
    rewriting = await _plan(context, arguments)
    if rewriting is None:
        return ToolResult("there are no Python files", shown)
    notes = await write_rewriting(context, rewriting)
    number = len(rewriting.changes)
    text = "nothing to change"
    if number:
        names = changed_names(context, rewriting, _NAMES_CHARS)
        text = f"formatted {count(number, 'file')}: {names}"
    result = ToolResult(text, with_diffs(shown, rewriting))
    more = (f"and {len(notes) - _MAX_NOTES} more",) if len(notes) > _MAX_NOTES else ()
    return noted(result, "; ".join((*notes[:_MAX_NOTES], *more)))


FORMAT = Tool(
    name="format",
    description="Format Python.",
    arguments=PathArguments,
    effect="edit",
    present=present,
    run=run,
    subject=lambda arguments: FilesSubject((arguments.path,)),
)
