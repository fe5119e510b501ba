"""list_dir: the names in a folder."""

from punie.tools.base import Returns, Tool, ToolArguments, ToolContext, ToolResult
from punie.tools.guards import workspace_errors
from punie.tools.presentation import Location, Presentation
from punie.tools.wording import fenced, fitting_rows
from punie.workspace.base import DirEntry
from punie.workspace.boundary import visible_name

MAX_ENTRIES = 500
"""More entries of one folder are never listed at once."""

_TRAILER_ROOM = 60
_NAMED_IGNORED = 6


class ListDirArguments(ToolArguments):
    """Which folder."""

    path: str = "."
    """The folder."""


async def present(context: ToolContext, arguments: ListDirArguments) -> Presentation:
    """Describe the call; raise `ToolError` for a path outside."""
    with workspace_errors():
        path = context.workspace.resolve(arguments.path)
    return Presentation(
        title=f"List {context.workspace.display(path)}",
        kind="read",
        locations=(Location(path=path),),
    )


async def run(context: ToolContext, arguments: ListDirArguments) -> ToolResult:
    """List the folder: folders first, each marked with a slash.

    Further roots of the workspace are listed with the first one, or a model would not know them.
    """
    presentation = await present(context, arguments)
    workspace = context.workspace
    with workspace_errors():
        path = workspace.resolve(arguments.path)
        entries = await workspace.list_dir(path)
    names = [_name(entry) for entry in entries if not entry.ignored]
    # That git's own folder is there says nothing.
    ignored = [_name(entry) for entry in entries if entry.ignored and entry.name != ".git"]
    first, *further = workspace.roots
    if path == first:
        names = [*dict.fromkeys([f"{workspace.display(root)}/" for root in further] + names)]
    left_out = _left_out(ignored)
    text = _listing(names, context.limits.result_chars - len(left_out)) + left_out
    shown = presentation.model_copy(update={"content": (fenced(text),)})
    return ToolResult(text, shown, data=[*names])


def _name(entry: DirEntry) -> str:
    return visible_name(entry.name) + ("/" if entry.is_dir else "")


def _left_out(ignored: list[str]) -> str:
    """Return the row that tells of entries that ignore files leave out; they can be listed."""
    if not ignored:
        return ""
    named = ", ".join(ignored[:_NAMED_IGNORED])
    more = len(ignored) - _NAMED_IGNORED
    return f"\n(ignored: {named}{f' and {more} more' if more > 0 else ''})"


def _listing(names: list[str], limit: int) -> str:
    kept = fitting_rows(names[:MAX_ENTRIES], limit - _TRAILER_ROOM)
    if len(kept) < len(names):
        kept.append(f"(first {len(kept)} of {len(names)} entries)")
    return "\n".join(kept) or "(empty)"


LIST_DIR = Tool(
    name="list_dir",
    description="List a folder.",
    arguments=ListDirArguments,
    effect="read",
    present=present,
    run=run,
    remarks=(f"At most {MAX_ENTRIES} names.",),
    returns=Returns(list[str], "Names in a folder; those of folders end in /."),
)
