"""What changed in which turn, and what was taken back: a file of JSON lines for each session.

A line is appended before a change is made and another one after it, so that whatever a process was
doing when it was killed can be told from the file's own content. Several processes may append.
"""

import errno
import fcntl
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal
from uuid import uuid4

from punie.workspace.checkpoints.states import FileState, decode_state

JOURNAL = "journal.jsonl"
"""The name of the file in a session's folder."""

Direction = Literal["undo", "redo"]


@dataclass
class Change:
    """One path that one call changed.

    It is `sure` when its end was recorded; else the file tells whether it happened. `undone` is
    the number of the undo that took it back, 0 while it holds. `left` are the directions in which
    it was found in conflict and the person was told.
    """

    id: str
    path: Path
    before: FileState
    after: FileState
    sure: bool = False
    undone: int = 0
    left: set[Direction] = field(default_factory=set)


@dataclass
class ChangedTurn:
    """A turn and its changes in their order.

    `at` is its time in seconds since the epoch, `command` tells of a slash command of the person.
    `gaps` are sentences on what it may have changed and is not known.
    """

    id: str
    prompt: str
    at: float
    command: bool
    changes: list[Change] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Untold:
    """What the person did to files since the model was last told, by path."""

    undone: tuple[Path, ...] = ()
    redone: tuple[Path, ...] = ()
    made: tuple[Path, ...] = ()


class Journal:
    """The journal in `folder`, which is made with the first line."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / JOURNAL

    def begin_turn(self, turn: str, prompt: str, *, command: bool) -> None:
        """Record that what follows belongs to a turn."""
        self._append(
            [{"k": "turn", "id": turn, "prompt": prompt, "at": time.time(), "command": command}]
        )

    def begin(
        self, turn: str, changes: Sequence[tuple[Path, FileState, FileState]], *, sure: bool = False
    ) -> list[str]:
        """Record changes (path, before, after) that are about to be made, or `sure` ones."""
        ids = [uuid4().hex[:16] for _ in changes]
        self._append(
            {
                "k": "change",
                "id": id_,
                "turn": turn,
                "path": str(path),
                "before": before.encoded(),
                "after": after.encoded(),
                "sure": sure,
            }
            for id_, (path, before, after) in zip(ids, changes, strict=True)
        )
        return ids

    def settle(self, after: Mapping[str, FileState | None]) -> None:
        """Record how changes ended: what was left, or None if there was no change after all."""
        self._append(
            {"k": "end", "id": id_, "after": None if state is None else state.encoded()}
            for id_, state in after.items()
        )

    def gap(self, turn: str, sentence: str) -> None:
        """Record what may have changed in a turn without being known."""
        self._append([{"k": "gap", "turn": turn, "text": sentence}])

    def moved(self, direction: Direction, run: str, ids: Iterable[str]) -> None:
        """Record that changes were taken back or brought back, in one `run` of the command."""
        self._append([{"k": direction, "run": run, "ids": list(ids)}])

    def left(self, direction: Direction, ids: Iterable[str]) -> None:
        """Record that the person was told why these changes stay."""
        self._append([{"k": "left", "way": direction, "ids": list(ids)}])

    def told(self) -> None:
        """Record that the model knows of all that the person did so far."""
        self._append([{"k": "told"}])

    def try_lock(self) -> IO[str] | None:
        """Keep other processes from undoing until the file is closed; None if one is; or raise.

        Raises `OSError` if the folder cannot be written.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (self._folder / "lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            if error.errno == errno.EWOULDBLOCK:
                return None
            raise
        return lock

    def turns(self) -> list[ChangedTurn]:
        """Return all turns with changes or gaps, oldest first; raise `OSError`."""
        return _Reading(self._lines()).turns

    def untold(self) -> Untold:
        """Return what the model does not know yet; raise `OSError`."""
        return _Reading(self._lines()).untold()

    def _lines(self) -> Iterator[dict[str, Any]]:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return
        for line in data.splitlines():
            try:
                found = json.loads(line)
            except ValueError:
                continue  # The end of a line that a killed process did not finish.
            if isinstance(found, dict):
                yield found

    def _append(self, records: Iterable[dict[str, Any]]) -> None:
        text = "".join(f"\n{json.dumps(record, separators=(',', ':'))}" for record in records)
        if not text:
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Every line begins with its own end of line, so that half a line spoils only itself.
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode("ascii") + b"\n")


class _Reading:
    """The state that the lines of a journal lead to."""

    def __init__(self, lines: Iterable[dict[str, Any]]) -> None:
        self._by_turn: dict[str, ChangedTurn] = {}
        self._changes: dict[str, Change] = {}
        self._turn_of: dict[str, ChangedTurn] = {}
        self._runs: dict[str, int] = {}
        self._undone: dict[Path, None] = {}
        self._redone: dict[Path, None] = {}
        self._made: dict[Path, None] = {}
        for line in lines:
            try:
                self._take(line)
            except (KeyError, TypeError, AttributeError):
                continue  # Written by a version that knows more than this one.

    @property
    def turns(self) -> list[ChangedTurn]:
        for turn in self._by_turn.values():
            turn.changes = [change for change in turn.changes if change.id in self._changes]
        return [turn for turn in self._by_turn.values() if turn.changes or turn.gaps]

    def untold(self) -> Untold:
        return Untold(tuple(self._undone), tuple(self._redone), tuple(self._made))

    def _take(self, line: dict[str, Any]) -> None:
        match line["k"]:
            case "turn":
                self._by_turn.setdefault(
                    line["id"],
                    ChangedTurn(line["id"], line["prompt"], line["at"], line["command"]),
                )
            case "change":
                self._begin(line)
            case "end":
                self._end(line["id"], line["after"])
            case "gap":
                gaps = self._by_turn[line["turn"]].gaps
                gaps += [line["text"]] if line["text"] not in gaps else []
            case "undo" | "redo" as way:
                self._move(way, line["run"], line["ids"])
            case "left":
                for change in self._known(line["ids"]):
                    change.left.add(line["way"])
            case "told":
                for noted in (self._undone, self._redone, self._made):
                    noted.clear()
            case _:
                pass

    def _known(self, ids: Iterable[str]) -> list[Change]:
        return [self._changes[id_] for id_ in ids if id_ in self._changes]

    def _move(self, way: Direction, run: str, ids: Iterable[str]) -> None:
        number = self._runs.setdefault(run, len(self._runs) + 1)
        moved = self._known(ids)
        for change in moved:
            change.undone = number if way == "undo" else 0
            change.left.clear()
        for path in {change.path: None for change in moved if _is_of_file(change)}:
            self._note_moved(way, path)

    def _begin(self, line: dict[str, Any]) -> None:
        turn = self._by_turn[line["turn"]]
        before, after = decode_state(line["before"]), decode_state(line["after"])
        change = Change(line["id"], Path(line["path"]), before, after, line["sure"])
        turn.changes.append(change)
        self._changes[change.id] = change
        self._turn_of[change.id] = turn
        if change.sure:
            self._note_made(change)

    def _end(self, id_: str, after: dict[str, Any] | None) -> None:
        if after is None:
            self._changes.pop(id_, None)
            return
        change = self._changes[id_]
        change.after, change.sure = decode_state(after), True
        self._note_made(change)

    def _note_made(self, change: Change) -> None:
        if self._turn_of[change.id].command and change.after.kind == "file":
            self._made[change.path] = None

    def _note_moved(self, way: Direction, path: Path) -> None:
        now, earlier = (
            (self._undone, self._redone) if way == "undo" else (self._redone, self._undone)
        )
        if way == "undo" and path in self._made:
            del self._made[path]
        elif path in earlier:
            del earlier[path]
        else:
            now[path] = None


def _is_of_file(change: Change) -> bool:
    return "folder" not in (change.before.kind, change.after.kind)
