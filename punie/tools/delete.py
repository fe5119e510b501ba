"""delete: a file or an empty folder."""

from punie.tools.base import Tool, ToolArguments, ToolContext, ToolError, ToolResult
from punie.tools.guards import workspace_errors
from punie.tools.moving import Entry, look_at
from punie.tools.presentation import DiffContent, Location, Presentation, ToolContent
from punie.tools.subjects import FilesSubject
from punie.workspace.entries import not_empty


class DeleteArguments(ToolArguments):
    """What goes."""

    path: str
    """The file or empty folder."""


async def _plan(context: ToolContext, arguments: DeleteArguments) -> tuple[Entry, Presentation]:
    """Work out what would go; raise `ToolError` if it cannot."""
    with workspace_errors():
        entry = await look_at(context, context.workspace.resolve_entry(arguments.path))
    shown = context.workspace.display(entry.path)
    if entry.info.kind == "folder" and entry.info.size:
        raise ToolError(not_empty(shown, entry.info.size))
    file = entry.file
    content: ToolContent = entry.described
    if file is not None:
        content = DiffContent(
            path=entry.path, old_text=file.text, new_text=None, newline=file.newline, bom=file.bom
        )
    return entry, Presentation(
        title=f"Delete {shown}",
        kind="delete",
        locations=(Location(path=entry.path),),
        content=(content,),
    )


async def present(context: ToolContext, arguments: DeleteArguments) -> Presentation:
    """Describe the call with all that is lost; raise `ToolError` if it cannot be done."""
    return (await _plan(context, arguments))[1]


async def run(context: ToolContext, arguments: DeleteArguments) -> ToolResult:
    """Delete it as it is now."""
    entry, presentation = await _plan(context, arguments)
    with workspace_errors():
        if entry.file is not None:
            await context.workspace.remove(entry.file)
        else:
            await context.workspace.delete(entry.path)
    context.reads.forget(entry.path)
    return ToolResult(f"deleted {context.workspace.display(entry.path)}", presentation)


DELETE = Tool(
    name="delete",
    description="Delete a file or empty folder.",
    arguments=DeleteArguments,
    effect="edit",
    present=present,
    run=run,
    subject=lambda arguments: FilesSubject((arguments.path,)),
)
