"""Putting files into the form that ruff gives them: one diff of all, reviewed before it happens."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from punie.tools.base import ToolContext, ToolError
from punie.tools.guards import refuse_stale, workspace_errors
from punie.tools.patch.planning import FileChange
from punie.tools.patch.writing import write_changes
from punie.tools.presentation import DiffContent, Location, Presentation
from punie.tools.python.targets import Target
from punie.tools.wording import changed_line, count
from punie.workspace.base import TextFile, WorkspaceError

MAX_FILES = 200

Rewrite = Callable[[ToolContext, TextFile, Path], Awaitable[str]]
"""Returns the new text of a file in a root."""


@dataclass(frozen=True)
class Rewriting:
    """The files that change, and what was left as it is and why."""

    changes: tuple[FileChange, ...]
    notes: tuple[str, ...] = ()


async def plan_rewriting(
    context: ToolContext, target: Target, candidates: Iterable[Path], rewrite: Rewrite
) -> Rewriting:
    """Work out the new texts without touching anything.

    `candidates` are the files below a folder that change. Hidden folders are left out: what is in
    them is not the project's own text. Raises `ToolError` for a file that cannot be rewritten if
    it was named, and if there are too many.
    """
    if target.file is not None:
        return Rewriting(tuple(await _change(context, target.file, target.root, rewrite)))
    paths = [path for path in dict.fromkeys(candidates) if not _hidden(path, target)]
    if len(paths) > MAX_FILES:
        raise ToolError(f"{len(paths)} files would change, more than {MAX_FILES}; name a folder")
    changes: list[FileChange] = []
    notes: list[str] = []
    for path in paths:
        try:
            # From the model's point of view, so that a link that leads out is refused.
            file = await context.workspace.read_text(context.workspace.resolve(str(path)))
            changes += await _change(context, file, target.root, rewrite)
        except (ToolError, WorkspaceError) as error:
            notes.append(str(error))
    return Rewriting(tuple(changes), tuple(notes))


async def _change(
    context: ToolContext, file: TextFile, root: Path, rewrite: Rewrite
) -> list[FileChange]:
    refuse_stale(context, file)
    with workspace_errors():
        text = await rewrite(context, file, root)
    return [] if text == file.text else [FileChange(file.path, file, text)]


def _hidden(path: Path, target: Target) -> bool:
    below = path.relative_to(target.path) if path.is_relative_to(target.path) else path
    return any(part.startswith(".") for part in below.parts[:-1])


async def write_rewriting(context: ToolContext, rewriting: Rewriting) -> tuple[str, ...]:
    """Write all of the files or none, and return notes; raise `ToolError`."""
    written = await write_changes(context, rewriting.changes)
    return tuple(dict.fromkeys([*rewriting.notes, *written]))


def with_diffs(presentation: Presentation, rewriting: Rewriting) -> Presentation:
    """Return the presentation with the places and diffs of the files, and their number."""
    if not rewriting.changes:
        return presentation
    places: list[Location] = []
    diffs: list[DiffContent] = []
    for change in rewriting.changes:
        old, new = ("" if change.old is None else change.old.text), change.text or ""
        places.append(Location(path=change.path, line=changed_line(old, new)))
        diffs.append(DiffContent(path=change.path, old_text=old, new_text=new))
    return presentation.model_copy(
        update={
            "title": f"{presentation.title}: {count(len(places), 'file')}",
            "kind": "edit",
            "locations": tuple(places),
            "content": tuple(diffs),
        }
    )


def changed_names(context: ToolContext, rewriting: Rewriting, limit: int) -> str:
    """Return the names of the changed files in one line of about `limit` characters."""
    names = [context.workspace.display(change.path) for change in rewriting.changes]
    shown: list[str] = []
    for name in names:
        if shown and sum(map(len, shown)) + len(name) > limit:
            return f"{', '.join(shown)} and {len(names) - len(shown)} more"
        shown.append(name)
    return ", ".join(shown)
