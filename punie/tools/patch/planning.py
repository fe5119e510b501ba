"""Working out what a patch does to the files, without touching any."""

from dataclasses import dataclass, field
from pathlib import Path

from punie.tools.base import ToolContext
from punie.tools.guards import refuse_masked, refuse_stale, refuse_unwritable, workspace_errors
from punie.tools.patch.applying import apply_hunks
from punie.tools.patch.model import FilePatch, PatchError
from punie.workspace.base import MissingFileError, TextFile


@dataclass
class FileChange:
    """One file of a patch: `old` is how it was read, None if it is new, `text` None if it goes.

    `to` is its new place.
    """

    path: Path
    old: TextFile | None
    text: str | None
    to: Path | None = None

    @property
    def changes(self) -> bool:
        """Whether anything is different in the end."""
        return self.to is not None or self.text != (None if self.old is None else self.old.text)


@dataclass
class _Plan:
    """The files as they would be after what was planned so far, by where they are now."""

    context: ToolContext
    changes: dict[Path, FileChange] = field(default_factory=dict)

    async def current(self, name: str, *, whole: bool) -> FileChange:
        """Return the file of that name; raise `ToolError` if there is none.

        `whole` tells that it is to be moved or deleted, which a link is not.
        """
        workspace = self.context.workspace
        with workspace_errors():
            path = workspace.resolve_entry(name) if whole else workspace.resolve(name)
            for change in self.changes.values():
                if path == (change.to or change.path) and change.text is not None:
                    return change
            if path in self.changes:
                raise PatchError(f"{name} is deleted or moved by the patch and then changed")
            file = await workspace.read_text(path)
        refuse_stale(self.context, file)
        change = FileChange(path, file, file.text)
        self.changes[path] = change
        return change

    async def free(self, name: str, *, what: str) -> Path:
        """Return where a new file goes; raise `ToolError` if something is there."""
        workspace = self.context.workspace
        if name.endswith("/"):
            raise PatchError(f"{name} ends in a slash, so it names a folder and not a file")
        with workspace_errors():
            path = workspace.resolve_entry(name)
            shown = workspace.display(path)
            for change in self.changes.values():
                if path == (change.to or change.path) and change.text is not None:
                    raise PatchError(f"{shown} is written twice by the patch")
            try:
                await workspace.info(path)
            except MissingFileError:
                return path
        gone = self.changes.get(path)
        if gone is not None and (gone.text is None or gone.to is not None):
            raise PatchError(f"{shown} is deleted or moved and made again; update it instead")
        raise PatchError(f"{shown} is there already; {what}")


async def plan_changes(context: ToolContext, files: list[FilePatch]) -> list[FileChange]:
    """Return what the patch does, in its order; raise `ToolError` if any part does not apply."""
    plan = _Plan(context)
    for file in files:
        match file.action:
            case "add":
                text = apply_hunks("", file.hunks, file.path)
                path = await plan.free(file.path, what="update it instead")
                plan.changes[path] = FileChange(path, None, text)
            case "delete":
                await _delete(plan, file)
            case "update":
                await _update(plan, file)
    changes = [change for change in plan.changes.values() if change.changes]
    if not changes:
        raise PatchError("the patch leaves all files as they are")
    return changes


async def _delete(plan: _Plan, file: FilePatch) -> None:
    change = await plan.current(file.path, whole=True)
    shown = plan.context.workspace.display(change.path)
    if file.hunks and apply_hunks(change.text or "", file.hunks, shown):
        raise PatchError(f"the patch deletes {shown}, but its hunks leave lines in it")
    if change.old is None:
        raise PatchError(f"{shown} is added and deleted by the patch")
    change.text, change.to = None, None


async def _update(plan: _Plan, file: FilePatch) -> None:
    change = await plan.current(file.path, whole=file.to is not None)
    shown = plan.context.workspace.display(change.path)
    before = change.text or ""
    sought = [line for hunk in file.hunks for line in hunk.old]
    refuse_masked(plan.context, shown, before, sought, before)
    text = apply_hunks(before, file.hunks, shown)
    refuse_masked(plan.context, shown, before, (), text)
    refuse_unwritable(text)
    if file.to is not None and change.old is None:
        raise PatchError(f"{shown} is added and moved by the patch; add it at its new place")
    if file.to is not None:
        change.to = await plan.free(file.to, what="nothing is overwritten by a move")
    change.text = text
