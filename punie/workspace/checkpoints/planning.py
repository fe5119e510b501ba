"""Which paths have to become what, so that turns are taken back or brought back.

A path is touched only while it holds exactly what the changes left in it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from punie.workspace.base import Workspace, WorkspaceError
from punie.workspace.checkpoints.journal import Change, ChangedTurn, Direction
from punie.workspace.checkpoints.observing import Observed, observe
from punie.workspace.checkpoints.states import ABSENT, FileState, is_named_so


@dataclass(frozen=True)
class Step:
    """One path that is to become `target` from what it is now; `ids` are the changes moved by it.

    `unlock` tells of a file that is read-only because these changes made it so, `idle` that all of
    them together left the path as it had been, such as those of a file that was made and deleted.
    """

    path: Path
    now: Observed
    target: FileState
    ids: tuple[str, ...]
    unlock: bool = False
    idle: bool = False

    @property
    def needless(self) -> bool:
        """Whether the path is already what it is to become."""
        return self.now.state == self.target or (
            self.target.kind == "folder" and self.now.state.kind == "folder"
        )


@dataclass(frozen=True)
class Refusal:
    """A path that is left as it is, wholly or from some point on; `reason` is a clause."""

    path: Path
    reason: str
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What taking turns back, or bringing them back, comes to; the first turn to move is first."""

    turns: tuple[ChangedTurn, ...]
    steps: tuple[Step, ...]
    refusals: tuple[Refusal, ...]


async def plan_moves(
    turns: Sequence[ChangedTurn], workspace: Workspace, direction: Direction, most: int
) -> Plan:
    """Choose the next turns to move, at most `most`, and work out how, without touching anything.

    A turn all of whose changes are in conflict, as the person was told before, is passed over, and
    so is one of which nothing is left but folders that are as they are to be. One of which only
    other folders are left does not count.
    """
    looks = _Looks(workspace)
    chosen: list[ChangedTurn] = []
    counted = 0
    for turn in _in_order(turns, direction):
        if counted == most:
            break
        changes = _open_changes(turn, direction)
        real = [
            change
            for change in changes
            if change.sure or (await looks.state(change.path)) == change.after
        ]
        if not real or all([await _is_folder_as_wanted(each, looks, direction) for each in real]):
            continue
        if (
            all(direction in change.left for change in real)
            and not (await _plan([turn], looks, direction)).steps
        ):
            continue
        chosen.append(turn)
        # Folders that are left over of a turn come along with the next one.
        counted += all(map(_of_folder, turn.changes)) or not all(map(_of_folder, real))
    return await _plan(chosen, looks, direction)


def _in_order(turns: Sequence[ChangedTurn], direction: Direction) -> list[ChangedTurn]:
    if direction == "undo":
        return list(reversed(turns))
    # What was taken back last comes back first; of one run, the oldest turn.
    last = {turn.id: max((each.undone for each in turn.changes), default=0) for turn in turns}
    return sorted(turns, key=lambda turn: -last[turn.id])


def _open_changes(turn: ChangedTurn, direction: Direction) -> list[Change]:
    """Return the changes to move, in the order of moving them."""
    if direction == "undo":
        return [change for change in reversed(turn.changes) if not change.undone]
    return [change for change in turn.changes if change.undone]


class _Looks:
    """What is at the paths, looked at once."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._found: dict[Path, Observed | WorkspaceError] = {}

    async def at(self, path: Path) -> Observed | WorkspaceError:
        if path not in self._found:
            try:
                self._found[path] = await observe(self.workspace, path)
            except WorkspaceError as error:
                self._found[path] = error
        return self._found[path]

    async def state(self, path: Path) -> FileState | None:
        found = await self.at(path)
        return found.state if isinstance(found, Observed) else None


def _of_folder(change: Change) -> bool:
    return "folder" in (change.before.kind, change.after.kind)


async def _is_folder_as_wanted(change: Change, looks: _Looks, direction: Direction) -> bool:
    target = change.before if direction == "undo" else change.after
    now = await looks.state(change.path)
    return _of_folder(change) and now is not None and now.same_as(target)


async def _plan(turns: Sequence[ChangedTurn], looks: _Looks, direction: Direction) -> Plan:
    by_path: dict[Path, list[Change]] = {}
    for turn in turns:
        for change in _open_changes(turn, direction):
            by_path.setdefault(change.path, []).append(change)
    alike = Counter(map(_alike, by_path))
    steps: list[Step] = []
    refusals: list[Refusal] = []
    for path, changes in by_path.items():
        every = tuple(change.id for change in changes)
        now = await looks.at(path)
        if isinstance(now, Observed) and alike[_alike(path)] > 1 and not is_named_so(path):
            # Only upper and lower case were changed: it is the other one that is there.
            now = Observed(ABSENT)
        if isinstance(now, WorkspaceError):
            refusals.append(Refusal(path, str(now), every))
            continue
        target, ids, reason = _follow(now.state, changes, direction)
        if ids:
            last = changes[0].after if direction == "undo" else changes[0].before
            unlock = _is_read_only(now.state) and _is_read_only(last)
            idle = now.state == target and now.state.same_as(last)
            steps.append(Step(path, now, target, ids, unlock, idle))
        if reason:
            left = tuple(id_ for id_ in every if id_ not in ids)
            said = reason.format(looks.workspace.display(path))
            refusals.append(Refusal(path, said, left))
    return Plan(tuple(turns), tuple(_sorted(steps)), tuple(refusals))


def _alike(path: Path) -> str:
    return str(path).casefold()


def _follow(
    now: FileState, changes: Iterable[Change], direction: Direction
) -> tuple[FileState, tuple[str, ...], str]:
    """Follow the changes of one path as far as they lead on.

    Returns where they lead, which they were, and why it did not go further, "" if it did.
    """
    state = now
    moved: list[str] = []
    for change in changes:
        source, target = change.after, change.before
        if direction == "redo":
            source, target = target, source
        if _matches(state, source, change):
            if not (source.kept and target.kept):
                return (
                    state,
                    tuple(moved),
                    "{} stays, because it was too large, or too much, to be kept",
                )
            state = _reached(state, target, change)
        elif not change.sure:
            continue  # It never happened.
        elif not _matches(state, target, change):
            return state, tuple(moved), _why(now, moved=bool(moved))
        moved.append(change.id)
    return state, tuple(moved), ""


def _why(now: FileState, *, moved: bool) -> str:
    if moved:
        return "{} was also changed by somebody else in between; older changes were left"
    if now.kind == "absent":
        return "{} is not there any more"
    return "{} was changed since then and was left as it is"


def _matches(state: FileState, wanted: FileState, change: Change) -> bool:
    if not state.same_as(wanted):
        return False
    return not _of_mode(change) or not state.mode or state.mode == wanted.mode


def _is_read_only(state: FileState) -> bool:
    return state.kind == "file" and bool(state.mode) and not state.mode & 0o222


def _of_mode(change: Change) -> bool:
    """Tell whether a change was one of a file's permission bits, whatever else it was."""
    before, after = change.before, change.after
    return before.kind == after.kind == "file" and bool(before.mode) and before.mode != after.mode


def _reached(state: FileState, target: FileState, change: Change) -> FileState:
    if state.kind == target.kind == "file" and not _of_mode(change):
        # The person's own chmod since then stays.
        return replace(target, mode=state.mode)
    return target


def _sorted(steps: Iterable[Step]) -> list[Step]:
    """Return the steps so that each finds what it needs: what goes, folders, and then files."""

    def order(step: Step) -> tuple[int, int]:
        depth = len(step.path.parts)
        if step.target.kind == "absent":
            return (1, -depth) if step.now.state.kind == "folder" else (0, 0)
        return (2, depth) if step.target.kind == "folder" else (3, 0)

    return sorted(steps, key=order)
