"""write_file: a new file, or a whole new content for an old one."""

from dataclasses import dataclass
from pathlib import Path

from punie.tools.base import Tool, ToolArguments, ToolContext, ToolError, ToolResult, noted
from punie.tools.guards import refuse_masked, refuse_stale, refuse_unwritable, workspace_errors
from punie.tools.presentation import DiffContent, Location, Presentation
from punie.tools.python.diagnostics import Change, types_before, with_diagnostics
from punie.tools.subjects import FilesSubject
from punie.tools.wording import changed_line, count, split_lines
from punie.workspace.base import MissingFileError, TextFile


class WriteFileArguments(ToolArguments):
    """Which file, and all of its text."""

    path: str
    """The file; folders that it needs are made."""
    content: str
    """All of its text."""


@dataclass(frozen=True)
class _Change:
    path: Path
    old: TextFile | None
    content: str
    presentation: Presentation


async def _plan(context: ToolContext, arguments: WriteFileArguments) -> _Change:
    """Work out what would be written; raise `ToolError` if it cannot be."""
    content = arguments.content.replace("\r\n", "\n")
    refuse_unwritable(content)
    if arguments.path.endswith("/"):
        raise ToolError("the path ends in a slash, so it names a folder and not a file")
    with workspace_errors():
        path = context.workspace.resolve(arguments.path)
        old = await _read_if_there(context, path)
    if old is not None:
        refuse_stale(context, old)
    shown = context.workspace.display(path)
    if old is not None:
        refuse_masked(context, shown, old.text, (), content)
    line = changed_line(old.text, content) if old is not None else 1
    presentation = Presentation(
        title=f"{'Create' if old is None else 'Overwrite'} {shown}",
        kind="edit",
        locations=(Location(path=path, line=line),),
        content=(
            DiffContent(path=path, old_text=None if old is None else old.text, new_text=content),
        ),
    )
    return _Change(path, old, content, presentation)


async def _read_if_there(context: ToolContext, path: Path) -> TextFile | None:
    try:
        return await context.workspace.read_text(path)
    except MissingFileError:
        return None


async def present(context: ToolContext, arguments: WriteFileArguments) -> Presentation:
    """Describe the call with its whole diff; raise `ToolError` if it cannot be done."""
    return (await _plan(context, arguments)).presentation


async def run(context: ToolContext, arguments: WriteFileArguments) -> ToolResult:
    """Write the file, keeping the line ends and the mark of the one it replaces."""
    change = await _plan(context, arguments)
    old = None if change.old is None else change.old.text
    types = await types_before(context, [] if old is None else [change.path])
    with workspace_errors():
        written = await context.workspace.write_text(change.path, change.content, like=change.old)
    context.reads.saw(written.path, written.digest)
    done = "created" if change.old is None else "replaced"
    lines = count(len(split_lines(change.content)), "line")
    shown = context.workspace.display(change.path)
    result = noted(ToolResult(f"{done} {shown}: {lines}", change.presentation), written.note)
    return await with_diagnostics(
        context, result, [Change(change.path, old, change.content)], types
    )


WRITE_FILE = Tool(
    name="write_file",
    description="Create or overwrite a file.",
    arguments=WriteFileArguments,
    effect="edit",
    present=present,
    run=run,
    subject=lambda arguments: FilesSubject((arguments.path,)),
)
