"""Keeps what the changes of a session need to be taken back: contents, and the journal of them.

Trouble with the disk never keeps a change from being made; it is told when something is undone.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar
from uuid import uuid4

import anyio
import anyio.to_thread

from punie.logs.setup import get_logger
from punie.workspace.base import TextFile, Workspace, WorkspaceError
from punie.workspace.checkpoints.blobs import BlobStore
from punie.workspace.checkpoints.journal import Journal
from punie.workspace.checkpoints.keeping import prune_checkpoints
from punie.workspace.checkpoints.observing import Observed, observe, text_observed
from punie.workspace.checkpoints.states import ABSENT, FOLDER, FileState, file_state, look
from punie.workspace.text_files import encode_text, reason

MAX_TURN_BYTES = 200 * 1024 * 1024
"""Contents that are kept for the changes of one turn."""

MAX_MOVED = 20_000
"""Entries of a folder that is moved which are remembered one by one."""

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
PathChange = tuple[Path, FileState, FileState]
_log = get_logger(__name__)


@dataclass(frozen=True)
class Pending:
    """Changes that were written down and are being made."""

    ids: tuple[str, ...]
    changes: tuple[PathChange, ...]


_NOTHING = Pending((), ())


class Recorder:
    """Writes down the changes of one session below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.own_paths: set[Path] = set()
        """What tools have changed since this set was last cleared."""
        self._pruned = False
        self.journal = Journal(folder)
        self.blobs = BlobStore(folder / "contents")
        self._turn: tuple[str, str, bool] | None = None
        self._turn_id = ""
        self._kept_bytes = 0

    def begin_turn(self, turn: str, prompt: str, *, command: bool = False) -> None:
        """Take what follows as changes of this turn; nothing is written before there are any."""
        self._turn = (turn, prompt, command)
        self._turn_id = turn
        self._kept_bytes = 0

    def keep(self, state: FileState, data: bytes | None) -> FileState:
        """Keep a file's bytes and return its state, which says whether that was done."""
        if state.kind != "file" or not state.kept:
            return state
        if data is None or self._kept_bytes + len(data) > MAX_TURN_BYTES:
            return FileState("file", state.digest, state.mode, kept=False)
        self._kept_bytes += len(data)
        self.blobs.put(data)
        return state

    def begin(self, changes: Sequence[PathChange], *, sure: bool = False) -> Pending:
        """Write changes down before they are made."""
        self._open_turn()
        if not sure:
            self.own_paths.update(path for path, _, _ in changes)
        return Pending(tuple(self.journal.begin(self._turn_id, changes, sure=sure)), tuple(changes))

    def gap(self, sentence: str) -> None:
        """Write down what may have changed without being known."""
        self._open_turn()
        self.journal.gap(self._turn_id, sentence)

    def _open_turn(self) -> None:
        if not self._pruned:
            self._pruned = True
            prune_checkpoints(self.folder.parent, but=self.folder.name)
        if self._turn is None and not self._turn_id:
            self._turn, self._turn_id = ("", "", False), uuid4().hex
        if self._turn is not None:
            _, prompt, command = self._turn
            self.journal.begin_turn(self._turn_id, prompt, command=command)
            self._turn = None

    async def safely(
        self,
        otherwise: Result,
        work: Callable[Parameters, Result],
        *arguments: Parameters.args,
        **named: Parameters.kwargs,
    ) -> Result:
        """Do the work in a thread, to its end; on trouble with the disk return `otherwise`."""

        def run() -> Result:
            try:
                return work(*arguments, **named)
            except OSError as error:
                _log.warning("checkpoint not kept", reason=reason(error))
                return otherwise

        result = otherwise
        with anyio.CancelScope(shield=True):
            result = await anyio.to_thread.run_sync(run)
        return result  # noqa: RET504, a scope may swallow what is raised in it

    async def before_write(
        self, workspace: Workspace, path: Path, text: str, like: TextFile | None
    ) -> Pending:
        """Keep what a write replaces and what it writes."""
        try:
            now = await self._now(workspace, path, like)
            form = ("\n", False) if like is None else (like.newline, like.bom)
            data = encode_text(workspace.display(path), text, newline=form[0], bom=form[1])
        except WorkspaceError:
            return _NOTHING  # It will not be written, for the same reason.

        def work() -> Pending:
            before = self.keep(now.state, now.data)
            after = self.keep(file_state(data, before.mode), data)
            folders = [(folder, ABSENT, FOLDER) for folder in _missing_folders(path)]
            return self.begin([*folders, (path, before, after)])

        return await self.safely(_NOTHING, work)

    async def _now(self, workspace: Workspace, path: Path, like: TextFile | None) -> Observed:
        if like is not None and like.path == path:
            disk, _ = await anyio.to_thread.run_sync(look, path)
            return text_observed(workspace, like, disk)
        return await observe(workspace, path)

    async def after_write(self, pending: Pending) -> None:
        """Write down what was really left: an IDE may save a text in its own way, or later."""

        def work() -> None:
            ends: dict[str, FileState | None] = {}
            for id_, (path, before, after) in zip(pending.ids, pending.changes, strict=True):
                state, data = look(path)
                if after.kind != "file":
                    ends[id_] = after if state.kind == after.kind else None
                elif state.same_as(after) or (state.kind == "file" and not state.same_as(before)):
                    ends[id_] = self.keep(state, data)
                else:
                    ends[id_] = after
                if ends[id_] == before:
                    ends[id_] = None
            self.journal.settle(ends)

        await self.safely(None, work)

    async def after_change(self, pending: Pending) -> None:
        """Write down that changes were made just so."""
        ends = {id_: change[2] for id_, change in zip(pending.ids, pending.changes, strict=True)}
        await self.safely(None, self.journal.settle, ends)

    async def not_made(self, pending: Pending) -> None:
        """Write down that nothing was changed after all."""
        await self.safely(None, self.journal.settle, dict.fromkeys(pending.ids))

    async def before_removal(
        self, workspace: Workspace, path: Path, file: TextFile | None
    ) -> Pending:
        """Keep what is about to be removed."""
        try:
            now = await self._now(workspace, path, file)
        except WorkspaceError:
            return _NOTHING

        def work() -> Pending:
            return self.begin([(path, self.keep(now.state, now.data), ABSENT)])

        return await self.safely(_NOTHING, work)

    async def before_move(self, path: Path, to: Path) -> Pending:
        """Keep what is about to be moved, with all that is in it."""

        def work() -> Pending:
            changes: list[PathChange] = [
                (folder, ABSENT, FOLDER) for folder in _missing_folders(to)
            ]
            for entry in _entries(path):
                state = self.keep(*look(entry))
                changes.append((entry, state, ABSENT))
                changes.append((to / entry.relative_to(path), ABSENT, state))
            return self.begin(changes)

        return await self.safely(_NOTHING, work)


def _missing_folders(path: Path) -> list[Path]:
    missing: list[Path] = []
    for folder in path.parents:
        if folder.exists():
            break
        missing.append(folder)
    return list(reversed(missing))


def _entries(path: Path) -> list[Path]:
    """Return a path and all below it, links not followed."""
    found = [path]
    if path.is_dir() and not path.is_symlink():
        for folder, folders, files in os.walk(path):
            found += [Path(folder, name) for name in (*folders, *files)]
            if len(found) > MAX_MOVED:
                raise OSError(f"{path} has more than {MAX_MOVED} entries")
    return found
