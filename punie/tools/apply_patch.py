"""apply_patch: changes in several files at once, all of them or none."""

import difflib
from collections.abc import Sequence

from punie.tools.base import Tool, ToolArguments, ToolContext, ToolError, ToolResult, noted
from punie.tools.guards import workspace_errors
from punie.tools.patch.model import FilePatch
from punie.tools.patch.parsing import parse_patch
from punie.tools.patch.planning import FileChange, plan_changes
from punie.tools.patch.writing import write_changes
from punie.tools.presentation import DiffContent, Location, Presentation
from punie.tools.python.diagnostics import Change, types_before, with_diagnostics
from punie.tools.subjects import FilesSubject
from punie.tools.wording import changed_line, count, cut

_NAMED_FILES = 3


class ApplyPatchArguments(ToolArguments):
    """The patch."""

    patch: str
    """The patch, from `*** Begin Patch` to `*** End Patch` or as a unified diff."""


async def _plan(
    context: ToolContext, arguments: ApplyPatchArguments
) -> tuple[list[FileChange], Presentation]:
    """Work the patch out without touching anything; raise `ToolError` if it does not apply."""
    changes = await plan_changes(context, parse_patch(arguments.patch))
    names = [context.workspace.display(change.to or change.path) for change in changes]
    more = len(names) - _NAMED_FILES
    named = ", ".join(names[:_NAMED_FILES]) + (f" and {more} more" if more > 0 else "")
    presentation = Presentation(
        title=f"Patch {named}",
        kind="edit",
        locations=tuple(
            Location(path=change.to or change.path, line=_line(change))
            for change in changes
            if change.text is not None
        ),
        content=tuple(diff for change in changes for diff in diffs(change)),
    )
    return changes, presentation


def _line(change: FileChange) -> int:
    return 1 if change.old is None else changed_line(change.old.text, change.text or "")


def diffs(change: FileChange) -> Sequence[DiffContent]:
    """Return how a change is shown; one that moves is an old file gone and a new one."""
    old = change.old
    newline, bom = (old.newline, old.bom) if old is not None else ("\n", False)
    before = None if old is None else old.text
    if change.to is None:
        return [
            DiffContent(
                path=change.path, old_text=before, new_text=change.text, newline=newline, bom=bom
            )
        ]
    return [
        DiffContent(path=change.path, old_text=before, new_text=None, newline=newline, bom=bom),
        DiffContent(path=change.to, old_text=None, new_text=change.text, newline=newline, bom=bom),
    ]


async def present(context: ToolContext, arguments: ApplyPatchArguments) -> Presentation:
    """Describe the patch with every file's diff; raise `ToolError` if it does not apply."""
    return (await _plan(context, arguments))[1]


async def run(context: ToolContext, arguments: ApplyPatchArguments) -> ToolResult:
    """Apply the patch to the files as they are now."""
    changes, presentation = await _plan(context, arguments)
    types = await types_before(context, [each.path for each in changes if each.old is not None])
    with workspace_errors():
        notes = await write_changes(context, changes)
    rows = [_row(context, change) for change in changes]
    head = f"patched {count(len(changes), 'file')}:"
    text = cut("\n".join([head, *rows]), context.limits.result_chars)
    result = noted(ToolResult(text, presentation), "; ".join(dict.fromkeys(notes)))
    return await with_diagnostics(context, result, [_made(each) for each in changes], types)


def _made(change: FileChange) -> Change:
    old = None if change.old is None else change.old.text
    if change.to is None:
        return Change(change.path, old, change.text)
    return Change(change.to, old, change.text, was=change.path)


def _row(context: ToolContext, change: FileChange) -> str:
    shown = context.workspace.display(change.path)
    if change.text is None:
        return f"{shown} deleted"
    before = "" if change.old is None else change.old.text
    added, removed = _counts(before, change.text)
    if change.old is None:
        return f"{shown} created, {count(added, 'line')}"
    moved = f" moved to {context.workspace.display(change.to)}" if change.to is not None else ""
    return f"{shown}{moved} +{added} -{removed}"


def _counts(before: str, after: str) -> tuple[int, int]:
    added = removed = 0
    matcher = difflib.SequenceMatcher(None, before.splitlines(), after.splitlines())
    for tag, start, end, new_start, new_end in matcher.get_opcodes():
        if tag != "equal":
            removed += end - start
            added += new_end - new_start
    return added, removed


def _subject(arguments: ApplyPatchArguments) -> FilesSubject:
    """Return every path of the patch; what cannot be read names none, and will not run."""
    try:
        files: list[FilePatch] = parse_patch(arguments.patch)
    except ToolError:
        return FilesSubject(())
    names = [name for file in files for name in (file.path, file.to) if name is not None]
    return FilesSubject(tuple(dict.fromkeys(names)))


APPLY_PATCH = Tool(
    name="apply_patch",
    description="Apply a *** Begin Patch or a unified diff.",
    arguments=ApplyPatchArguments,
    effect="edit",
    present=present,
    run=run,
    subject=_subject,
)
