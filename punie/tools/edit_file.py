"""edit_file: exact replacements in one file, all of them or none."""

from dataclasses import dataclass

from punie.tools.base import Tool, ToolArguments, ToolContext, ToolResult, noted
from punie.tools.guards import refuse_masked, refuse_stale, refuse_unwritable, workspace_errors
from punie.tools.presentation import DiffContent, Location, Presentation
from punie.tools.python.diagnostics import Change, types_before, with_diagnostics
from punie.tools.replacements import Replacement, apply_replacements
from punie.tools.subjects import FilesSubject
from punie.tools.wording import changed_line, count
from punie.workspace.base import TextFile


class Edit(ToolArguments):
    """One replacement."""

    old_text: str
    """What stands there, exactly, and only once."""
    new_text: str
    """What takes its place."""


class EditFileArguments(ToolArguments):
    """Which file, and the replacements in it."""

    path: str
    """The file."""
    edits: list[Edit]
    """The replacements, one after another; all are made or none."""


@dataclass(frozen=True)
class _Change:
    file: TextFile
    new_text: str
    presentation: Presentation


async def _plan(context: ToolContext, arguments: EditFileArguments) -> _Change:
    """Work the edit out without touching anything; raise `ToolError` if it cannot apply."""
    with workspace_errors():
        path = context.workspace.resolve(arguments.path)
        file = await context.workspace.read_text(path)
    refuse_stale(context, file)
    shown = context.workspace.display(path)
    replacements = [Replacement(edit.old_text, edit.new_text) for edit in arguments.edits]
    sought = [edit.old_text for edit in arguments.edits]
    refuse_masked(context, shown, file.text, sought, file.text)
    new_text = apply_replacements(file.text, replacements, shown)
    refuse_masked(context, shown, file.text, (), new_text)
    refuse_unwritable(new_text)
    presentation = Presentation(
        title=f"Edit {shown}",
        kind="edit",
        locations=(Location(path=path, line=changed_line(file.text, new_text)),),
        content=(DiffContent(path=path, old_text=file.text, new_text=new_text),),
    )
    return _Change(file, new_text, presentation)


async def present(context: ToolContext, arguments: EditFileArguments) -> Presentation:
    """Describe the edit with its whole diff; raise `ToolError` if it cannot apply."""
    return (await _plan(context, arguments)).presentation


async def run(context: ToolContext, arguments: EditFileArguments) -> ToolResult:
    """Apply the edit to the file as it is now."""
    change = await _plan(context, arguments)
    types = await types_before(context, [change.file.path])
    with workspace_errors():
        written = await context.workspace.write_text(
            change.file.path, change.new_text, like=change.file
        )
    context.reads.saw(written.path, written.digest)
    shown = context.workspace.display(written.path)
    text = f"edited {shown}: {count(len(arguments.edits), 'replacement')}"
    result = noted(ToolResult(text, change.presentation), written.note)
    edited = Change(change.file.path, change.file.text, change.new_text)
    return await with_diagnostics(context, result, [edited], types)


EDIT_FILE = Tool(
    name="edit_file",
    description="Replace exact texts, all or none.",
    arguments=EditFileArguments,
    effect="edit",
    present=present,
    run=run,
    subject=lambda arguments: FilesSubject((arguments.path,)),
)
