"""find_files: files by a glob or a piece of their name."""

from pathlib import Path

from punie.tools.base import Returns, Tool, ToolArguments, ToolContext, ToolError, ToolResult
from punie.tools.guards import workspace_errors
from punie.tools.presentation import Location, Presentation
from punie.tools.wording import count, fenced, fitting_rows, one_line
from punie.workspace.base import WorkspaceError
from punie.workspace.found import FoundFiles
from punie.workspace.roots import widest_first

MAX_FILES = 100
"""More files of one call are never returned."""

_TRAILER_ROOM = 80
_MAX_LOCATIONS = 20


class FindFilesArguments(ToolArguments):
    """What the files are called, and where."""

    pattern: str
    """A glob, or a piece of the name in any case."""
    path: str = "."
    """The folder to look in."""


async def present(context: ToolContext, arguments: FindFilesArguments) -> Presentation:
    """Describe the call; raise `ToolError` for a path outside or an empty pattern."""
    with workspace_errors():
        path = context.workspace.resolve(arguments.path)
    if not arguments.pattern.strip():
        raise ToolError("the pattern is empty; use list_dir to see which files there are")
    shown = context.workspace.display(path)
    where = "" if shown == "." else f" in {shown}"
    return Presentation(
        title=f'Find files "{one_line(arguments.pattern, 80)}"{where}',
        kind="search",
        locations=(Location(path=path),),
    )


async def run(context: ToolContext, arguments: FindFilesArguments) -> ToolResult:
    """Find the files, those nearest to the folder first."""
    presentation = await present(context, arguments)
    with workspace_errors():
        found = await _find(context, arguments)
    names = [context.workspace.display(path) for path in found.paths]
    rows = fitting_rows(names, context.limits.result_chars - _TRAILER_ROOM)
    if len(rows) < found.total:
        of = f"more than {found.total}" if found.more else found.total
        rows.append(f"(first {len(rows)} of {of} files; narrow the pattern or the path)")
    text = "\n".join(rows) or "(no files; ignored files are not looked at)"
    number = f"{'more than ' if found.more else ''}{count(found.total, 'file')}"
    shown = presentation.model_copy(
        update={
            "title": f"{presentation.title}: {number}",
            "locations": tuple(Location(path=path) for path in found.paths[:_MAX_LOCATIONS])
            or presentation.locations,
            "content": (fenced(text),),
        }
    )
    return ToolResult(text, shown, data=[*names])


async def _find(context: ToolContext, arguments: FindFilesArguments) -> FoundFiles:
    """Look below the path; the workspace itself is all of its roots."""
    workspace = context.workspace
    target = workspace.resolve(arguments.path)
    if target != workspace.roots[0]:
        return await workspace.find_files(arguments.pattern, target, limit=MAX_FILES)
    paths: dict[Path, None] = {}
    total, more = 0, False
    for root in widest_first(workspace.roots):
        try:
            found = await workspace.find_files(arguments.pattern, root, limit=MAX_FILES)
        except WorkspaceError:
            if root == target:
                raise
            continue
        # A root may lie in another one, whose files are known then.
        total += found.total - sum(path in paths for path in found.paths)
        more = more or found.more
        paths.update(dict.fromkeys(found.paths))
    return FoundFiles(tuple(paths)[:MAX_FILES], total, more)


FIND_FILES = Tool(
    name="find_files",
    description="Find files by glob or name part.",
    arguments=FindFilesArguments,
    effect="read",
    present=present,
    run=run,
    remarks=(f"At most {MAX_FILES} files, the nearest to the folder first.",),
    returns=Returns(list[str], "Paths of files by glob or name part."),
)
