"""rename_symbol: another name for a symbol, everywhere that it is meant, in one step."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from punie.tools.base import Tool, ToolContext, ToolResult, noted
from punie.tools.guards import refuse_stale, workspace_errors
from punie.tools.presentation import Presentation, TextContent
from punie.tools.python.diagnostics import Change, types_before, with_diagnostics
from punie.tools.python.locating import SymbolArguments, locate, title
from punie.tools.python.renaming import Left, Rename, plan_rename
from punie.tools.python.rewriting import Rewriting, changed_names, with_diffs, write_rewriting
from punie.tools.subjects import FilesSubject
from punie.tools.wording import count, fitting_rows, one_line

_NAMES_CHARS = 2_000
_LEFT_ROWS = 10
_LINE_CHARS = 200
_TITLE_CHARS = 60


class RenameSymbolArguments(SymbolArguments):
    """Which symbol, and what it is to be called."""

    new_name: str
    """The new name, without what qualifies it."""


@dataclass(frozen=True)
class _Planned:
    """A rename as it is shown, and the files that it was made from."""

    rename: Rename
    shown: Presentation
    digests: dict[Path, str]


async def _plan(context: ToolContext, arguments: RenameSymbolArguments) -> _Planned:
    """Work the rename out without touching anything; raise `ToolError` if it cannot be done.

    What was shown is what is done: it is worked out anew only if something has changed since.
    """
    new = arguments.new_name
    shown = title(context, "Rename", arguments, "edit")
    with workspace_errors():
        servers = [
            await context.workspace.language_server(each) for each in context.workspace.roots
        ]
        key = (arguments, [await server.state() for server in servers])
    kept = context.worked_out
    plan = kept.plan if kept.key == key else None
    if isinstance(plan, _Planned) and await _is_current(context, plan):
        return plan
    located = await locate(context, arguments)
    rename = await plan_rename(context, located, new)
    shown = shown.model_copy(update={"title": f"{shown.title} to {one_line(new, _TITLE_CHARS)}"})
    shown = with_diffs(shown, Rewriting(rename.changes))
    if rename.guessed:
        shown = shown.model_copy(update={"content": (_warning(context, rename), *shown.content)})
    planned = _Planned(rename, shown, {file.path: file.digest for file in rename.looked_at})
    kept.key, kept.plan = key, planned
    return planned


def _warning(context: ToolContext, rename: Rename) -> TextContent:
    """Tell the person which places are in the diff without proof."""
    places = _places(context, rename.guessed)
    named = ", ".join(places[:_LEFT_ROWS])
    more = f" and {len(places) - _LEFT_ROWS} more" if len(places) > _LEFT_ROWS else ""
    return TextContent(text=f"By elimination, as the type is not known: {named}{more}.")


def _places(context: ToolContext, left: Sequence[Left]) -> list[str]:
    display = context.workspace.display
    lines = [f"{display(each.occurrence.path)}:{each.occurrence.line}" for each in left]
    return list(dict.fromkeys(lines))


async def _is_current(context: ToolContext, planned: _Planned) -> bool:
    """Tell whether all files that hold the name are what they were, as an editor has them too."""
    for path, digest in planned.digests.items():
        with workspace_errors():
            file = await context.workspace.read_text(path)
        if file.digest != digest:
            return False
    for change in planned.rename.changes:
        if change.old is not None:
            refuse_stale(context, change.old)
    return True


async def present(context: ToolContext, arguments: RenameSymbolArguments) -> Presentation:
    """Describe the rename with all files' diffs; raise `ToolError` if it cannot be done."""
    return (await _plan(context, arguments)).shown


async def run(context: ToolContext, arguments: RenameSymbolArguments) -> ToolResult:
    """Rename the symbol in the files as they are now."""
    planned = await _plan(context, arguments)
    rename, shown = planned.rename, planned.shown
    types = await types_before(context, [change.path for change in rename.changes])
    rewriting = Rewriting(rename.changes)
    notes = await write_rewriting(context, rewriting)
    head = (
        f"renamed to {arguments.new_name}: {count(rename.places, 'place')} in "
        f"{count(len(rename.changes), 'file')}: {changed_names(context, rewriting, _NAMES_CHARS)}"
    )
    text = "\n".join([head, *_left_rows(context, rename)])
    names = (arguments.symbol.rpartition(".")[2], arguments.new_name)
    changed = [
        Change(
            change.path,
            None if change.old is None else change.old.text,
            change.text,
            renamed=names,
        )
        for change in rename.changes
    ]
    result = noted(ToolResult(text, shown), "; ".join(notes))
    return await with_diagnostics(context, result, changed, types)


def _left_rows(context: ToolContext, rename: Rename) -> list[str]:
    """Return what is not certain: what changed, and where the old name stays, by elimination."""
    unknown = [each for each in rename.left if each.occurrence.within == "code"]
    texts = [each for each in rename.left if each.occurrence.within != "code"]
    rows: list[str] = []
    for told, left in (
        ("renamed by elimination, as its type is not known", rename.guessed),
        ("left, as its type is not known", unknown),
        ("left in strings and comments", texts),
    ):
        if left:
            rows.append(f"{told}, look whether it is meant:")
            rows += _rows(context, left)
    return rows


def _rows(context: ToolContext, left: Sequence[Left]) -> list[str]:
    lines = Counter((each.occurrence.path, each.occurrence.line, each.text) for each in left)
    rows = [
        f"{context.workspace.display(path)}:{line}:{one_line(text, _LINE_CHARS)}"
        for path, line, text in list(lines)[:_LEFT_ROWS]
    ]
    kept = fitting_rows(rows, context.limits.result_chars // 4)
    if len(kept) < len(lines):
        kept.append(f"(first {len(kept)} of {count(len(lines), 'line')}; search for the others)")
    return kept


RENAME_SYMBOL = Tool(
    name="rename_symbol",
    description="Rename in all files.",
    arguments=RenameSymbolArguments,
    effect="edit",
    present=present,
    run=run,
    # Which files it changes is known only when it is worked out: any of the project.
    subject=lambda arguments: FilesSubject((".",)),
)
