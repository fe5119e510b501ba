"""Finds out which files a command changed, and writes that down as if a tool had done it."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.to_thread

from punie.logs.setup import get_logger
from punie.workspace.base import Workspace
from punie.workspace.checkpoints.baseline import Baseline, in_git
from punie.workspace.checkpoints.git_objects import read_objects
from punie.workspace.checkpoints.recorder import PathChange, Recorder
from punie.workspace.checkpoints.states import (
    ABSENT,
    FOLDER,
    MAX_KEPT_BYTES,
    FileState,
    file_state,
    is_named_so,
    look,
)
from punie.workspace.checkpoints.tree import (
    Difference,
    Entry,
    TooLargeTreeError,
    Tree,
    differences,
    scan,
)
from punie.workspace.sandbox.view import GUARDED_NAMES
from punie.workspace.text_files import reason

MAX_CHANGED = 20_000
"""More paths that one command changed are not written down."""

_NOT_COVERED = "What commands did to files is not taken back, because {}."
_RAN_ON = "What a command in the background did after its turn is not taken back."
_log = get_logger(__name__)


@dataclass
class _Watched:
    """One root, and how it was when it was last looked through."""

    root: Path
    baseline: Baseline
    tree: Tree | None = None
    too_large: TooLargeTreeError | None = None
    found: list[Difference] = field(default_factory=list)


class CommandWatch:
    """Watches the files of one workspace while commands run."""

    def __init__(self, workspace: Workspace, recorder: Recorder) -> None:
        self._workspace = workspace
        self.recorder = recorder
        self._one = anyio.Lock()
        self._inside = 0
        self._roots = [
            _Watched(root, Baseline(recorder.folder)) for root in _outermost(workspace.roots)
        ]
        self._trouble = ""
        self._told = False
        self.runs_on = False
        """Whether a command was started in the background in this turn."""

    @asynccontextmanager
    async def around(self) -> AsyncIterator[None]:
        """Write down what changes meanwhile; it never fails, and never keeps a change away."""
        if self._inside:
            yield  # A call that another call makes: the changes are found at the end of that.
            return
        self._inside += 1
        try:
            await self._look(record=self.runs_on)
            yield
        finally:
            self._inside -= 1
            with anyio.CancelScope(shield=True):
                await self._look(record=True)

    async def end_turn(self) -> None:
        """Take in what commands in the background did until now."""
        if self.runs_on:
            with anyio.CancelScope(shield=True):
                await self._look(record=True)
                await self.recorder.safely(None, self.recorder.gap, _RAN_ON)
            self.runs_on = False

    def close(self) -> None:
        """Let go of all copies."""
        for watched in self._roots:
            watched.baseline.close()

    async def _look(self, *, record: bool) -> None:
        async with self._one:
            for watched in self._roots:
                try:
                    await anyio.to_thread.run_sync(_look_through, watched, self.recorder.folder)
                    if record and watched.found:
                        await self._record(watched)
                    await anyio.to_thread.run_sync(_capture, watched)
                except Exception as error:
                    # Whatever it is, the command is more important.
                    watched.tree = None
                    await self._not_covered(error)
            self.recorder.own_paths.clear()

    def take_notice(self) -> str:
        """Return, once, why what commands do cannot be taken back; "" if it can."""
        if self._told or not self._trouble:
            return ""
        self._told = True
        return self._trouble

    async def _not_covered(self, error: Exception) -> None:
        match error:
            case TooLargeTreeError():
                why = str(error)
            case OSError():
                why = reason(error)
            case _:
                why = "looking for them failed"
        _log.warning("command not covered by checkpoints", reason=why, exc_info=error)
        self._trouble = _NOT_COVERED.format(why)
        await self.recorder.safely(None, self.recorder.gap, self._trouble)

    async def _record(self, watched: _Watched) -> None:
        if len(watched.found) > MAX_CHANGED:
            raise TooLargeTreeError(f"a command changed more than {MAX_CHANGED:,} files")
        top = watched.baseline.git_top
        wanted: dict[str, tuple[str, int]] = {}
        for found in watched.found:
            known = in_git(found.old) if found.old is not None else None
            if known is not None and found.old is not None:
                wanted[found.path] = (known.sha, found.old.size)
        from_git = {} if top is None else await read_objects(self._workspace, top, wanted)

        def work() -> None:
            changes = list(_changes(watched, from_git, self.recorder))
            if changes:
                self.recorder.begin(changes, sure=True)

        await self.recorder.safely(None, work)


def _look_through(watched: _Watched, own: Path) -> None:
    if watched.too_large is not None:
        raise watched.too_large  # Not every command is to wait for that.
    before = watched.tree
    try:
        watched.tree = scan(watched.root, before, but=own)
    except TooLargeTreeError as error:
        watched.too_large = error
        watched.baseline.close()
        raise
    watched.found = [] if before is None else list(_real_differences(before, watched.tree))


def _real_differences(before: Tree, now: Tree) -> Iterable[Difference]:
    """Leave out the empty folders that stand, while commands run, for ones they must not make."""
    for found in differences(before, now):
        gone = found.new is None
        if (found.old is None or gone) and Path(found.path).name in GUARDED_NAMES:
            entry, tree = (found.old, before) if gone else (found.new, now)
            if entry is not None and entry.is_folder and not tree.folders.get(found.path):
                continue
        yield found


def _capture(watched: _Watched) -> None:
    watched.found = []
    if watched.tree is not None:
        watched.baseline.capture(watched.tree)


def _changes(
    watched: _Watched, from_git: Mapping[str, bytes], recorder: Recorder
) -> Iterable[PathChange]:
    for found in watched.found:
        path = Path(found.path)
        if path in recorder.own_paths:
            continue  # Written down already, exactly.
        try:
            # What is gone may only have another case now, where a disk takes both as one.
            is_gone = found.new is None and not is_named_so(path)
            after, data = (ABSENT, None) if is_gone else look(path)
        except OSError:
            continue
        before, old_data = _before(found.old, from_git.get(found.path), watched.baseline)
        if before.kind == after.kind == "file" and before.mode == after.mode:
            if before.same_as(after):
                continue  # Only its times, or not even these.
        elif before == after:
            continue
        yield path, recorder.keep(before, old_data), recorder.keep(after, data)


def _before(
    old: Entry | None, from_git: bytes | None, baseline: Baseline
) -> tuple[FileState, bytes | None]:
    if old is None:
        return ABSENT, None
    if old.is_folder:
        return FOLDER, None
    if old.is_link:
        return FileState("link", target=str(old.content or "")), None
    data = from_git if from_git is not None else baseline.bytes_of(old)
    if data is None:
        size = old.size if old.size > MAX_KEPT_BYTES else 0
        return FileState("file", f"{size}-{old.stat[2]}", old.mode, kept=False), None
    return file_state(data, old.mode), data


def _outermost(roots: Iterable[Path]) -> list[Path]:
    """Return the roots that are not inside of others."""
    every = list(roots)
    return [
        root
        for number, root in enumerate(every)
        if not any(
            root.is_relative_to(other) and (root != other or number > place)
            for place, other in enumerate(every)
            if place != number
        )
    ]
