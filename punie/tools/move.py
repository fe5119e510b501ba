"""move: a file or folder to another path, where nothing is."""

from dataclasses import dataclass
from pathlib import Path

from punie.tools.base import Tool, ToolArguments, ToolContext, ToolError, ToolResult
from punie.tools.guards import workspace_errors
from punie.tools.moving import Entry, look_at
from punie.tools.presentation import DiffContent, Location, Presentation, ToolContent
from punie.tools.python.diagnostics import Change, types_before, with_diagnostics
from punie.tools.subjects import FilesSubject
from punie.workspace.base import MissingFileError


class MoveArguments(ToolArguments):
    """From where to where."""

    path: str
    """The file or folder."""
    to: str
    """Its new path, where nothing may be yet."""


@dataclass(frozen=True)
class _Plan:
    entry: Entry
    to: Path
    presentation: Presentation


async def _plan(context: ToolContext, arguments: MoveArguments) -> _Plan:
    """Work out what would move; raise `ToolError` if it cannot."""
    workspace = context.workspace
    with workspace_errors():
        path = workspace.resolve_entry(arguments.path)
        to = workspace.resolve_entry(arguments.to)
        entry = await look_at(context, path)
        if to != path:
            await _refuse_taken(context, path, to)
    shown, shown_to = workspace.display(path), workspace.display(to)
    if to == path:
        raise ToolError(f"{shown} is there already")
    if to.is_relative_to(path):
        raise ToolError(f"{shown} cannot be moved into itself")
    if arguments.to.endswith("/") and entry.info.kind != "folder":
        raise ToolError(f"{shown_to}/ names a folder; write {shown_to}/{path.name}")
    file = entry.file
    content: tuple[ToolContent, ...] = (entry.described,)
    if file is not None:
        content = (
            DiffContent(
                path=path, old_text=file.text, new_text=None, newline=file.newline, bom=file.bom
            ),
            DiffContent(
                path=to, old_text=None, new_text=file.text, newline=file.newline, bom=file.bom
            ),
        )
    presentation = Presentation(
        title=f"Move {shown} to {shown_to}",
        kind="move",
        locations=(Location(path=path), Location(path=to)),
        content=content,
    )
    return _Plan(entry, to, presentation)


async def _refuse_taken(context: ToolContext, path: Path, to: Path) -> None:
    try:
        there = await context.workspace.info(to)
    except MissingFileError:
        return
    if str(path).casefold() == str(to).casefold():
        return  # On some disks it is the same; the workspace tells.
    shown = context.workspace.display(to)
    if there.kind == "folder":
        raise ToolError(f"{shown} is a folder; write {shown}/{path.name} to move into it")
    raise ToolError(f"{shown} is there already; nothing is overwritten")


async def present(context: ToolContext, arguments: MoveArguments) -> Presentation:
    """Describe the move; raise `ToolError` if it cannot be done."""
    return (await _plan(context, arguments)).presentation


async def run(context: ToolContext, arguments: MoveArguments) -> ToolResult:
    """Move it."""
    plan = await _plan(context, arguments)
    path = plan.entry.path
    file = plan.entry.file
    types = await types_before(context, [] if file is None else [path])
    with workspace_errors():
        await context.workspace.move(path, plan.to)
    context.reads.moved(path, plan.to)
    shown, shown_to = context.workspace.display(path), context.workspace.display(plan.to)
    presentation = plan.presentation.model_copy(update={"locations": (Location(path=plan.to),)})
    result = ToolResult(f"moved {shown} to {shown_to}", presentation)
    moved = [] if file is None else [Change(plan.to, file.text, file.text, was=path)]
    return await with_diagnostics(context, result, moved, types)


MOVE = Tool(
    name="move",
    description="Move or rename.",
    arguments=MoveArguments,
    effect="edit",
    present=present,
    run=run,
    subject=lambda arguments: FilesSubject((arguments.path, arguments.to)),
)
