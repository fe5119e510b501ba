"""Whether the person kept what a turn did to files: the files still hold it, or a commit does."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from punie.tools.base import ReadLedger, ToolContext, ToolError
from punie.tools.git.repository import find_repository, run_git
from punie.workspace.base import Workspace, WorkspaceError
from punie.workspace.checkpoints.blobs import BlobStore, LostContentError
from punie.workspace.checkpoints.journal import ChangedTurn
from punie.workspace.checkpoints.states import FileState, look

LEAST_KEPT = 0.5
"""Share of a turn's lines that must still be there: people touch up what they keep, and later
turns go on from it."""

_CLOCK_SECONDS = 120


@dataclass(frozen=True)
class _Edit:
    """What a turn did to one path in all."""

    path: Path
    before: FileState
    after: FileState


async def edits_kept(turn: ChangedTurn, blobs: BlobStore, workspace: Workspace) -> bool | None:
    """Tell whether what a turn changed is still there; None where that cannot be told.

    Every path counts: it holds just what the turn left in it, or most of its changed lines, or a
    commit made since then has the file as the turn left it.
    """
    verdicts = [await _is_kept(edit, turn.at, blobs, workspace) for edit in _edits(turn)]
    if False in verdicts:
        return False
    return None if None in verdicts or not verdicts else True


def _edits(turn: ChangedTurn) -> Sequence[_Edit]:
    found: dict[Path, _Edit] = {}
    for change in turn.changes:
        first = found.get(change.path)
        before = change.before if first is None else first.before
        found[change.path] = _Edit(change.path, before, change.after)
    return [edit for edit in found.values() if not edit.before.same_as(edit.after)]


async def _is_kept(edit: _Edit, at: float, blobs: BlobStore, workspace: Workspace) -> bool | None:
    root = next((root for root in workspace.roots if edit.path.is_relative_to(root)), None)
    if root is None or not root.is_dir():
        return None
    try:
        now, data = look(edit.path)
    except OSError:
        return None
    if now.same_as(edit.after):
        return True
    if edit.after.kind != "file":
        return False
    try:
        after = blobs.get(edit.after.digest)
        before = b"" if edit.before.kind != "file" else blobs.get(edit.before.digest)
    except LostContentError:
        return None
    if data is not None and _lines_kept(before, after, data) >= LEAST_KEPT:
        return True
    return await _is_committed(after, edit.path, at, workspace)


def _lines_kept(before: bytes, after: bytes, now: bytes) -> float:
    """Return which share of the lines that were added is there; of those removed if none were.

    Removed lines are gone from a file that was written anew, too, so alone they tell little.
    """
    old, new, present = (_lines(text) for text in (before, after, now))
    added, removed = new - old, old - new
    if added:
        return (added & (present - (old & new))).total() / added.total()
    if not removed:
        return 0.0
    gone = sum(min(count, max(0, old[line] - present[line])) for line, count in removed.items())
    return gone / removed.total()


def _lines(text: bytes) -> Counter[bytes]:
    return Counter(line.strip() for line in text.splitlines() if line.strip())


async def _is_committed(content: bytes, path: Path, at: float, workspace: Workspace) -> bool:
    """Tell whether a commit made since then has a file of exactly this content."""
    name = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    context = ToolContext(workspace, ReadLedger())
    since = f"--since=@{int(at) - _CLOCK_SECONDS}"
    asked = ["log", "--all", "-1", "--format=%H", since, f"--find-object={name}"]
    try:
        repository = await find_repository(context, path)
        found = await run_git(context, repository, asked)
    except (ToolError, WorkspaceError):
        return False
    return found.exit_code == 0 and bool(found.stdout.strip())
