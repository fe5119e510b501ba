"""The session store: every event of every session, in one SQLite file that many processes share.

What `append` has acknowledged is there after the process was killed at any point. Only a crash of
the whole machine may lose the last moments.
"""

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from punie.sessions.schema import NewerSchemaError, migrate

Result = TypeVar("Result")

_BUSY_SECONDS = 10.0
_BUSY_STEP_SECONDS = 0.01


class StoreError(Exception):
    """Sessions could not be saved or read; the message is one sentence for the person."""


class _Damaged(Exception):  # noqa: N818 - never leaves this module
    """The file is not a database, or a broken one."""


@dataclass(frozen=True)
class SessionRecord:
    """A session without its events; the times are in UTC.

    `position` orders sessions by their last use and says where a list was left off; `prompted`
    tells whether anything was ever asked in it.
    """

    id: str
    cwd: str
    title: str | None
    meta: dict[str, Any]
    created: datetime
    updated: datetime
    position: "Position"
    prompted: bool


Position = tuple[float, int]


class SessionStore:
    """Sessions in the SQLite file at `path`, which is made, with its folder, on first use.

    All methods may be called from any task; the file is only touched in one worker thread at a
    time. All raise `StoreError`, after which the store may be used on: a file that is damaged is
    set aside as `<name>.corrupt-N` and the next call begins a new one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._one_thread = anyio.CapacityLimiter(1)

    async def create(self, session_id: str, cwd: str, meta: dict[str, Any]) -> None:
        """Add a session without events; `meta` is kept as JSON."""
        row = (session_id, cwd, json.dumps(meta), time.time())

        def work(db: sqlite3.Connection) -> None:
            try:
                db.execute(
                    "INSERT INTO sessions (id, cwd, meta, created, updated) "
                    "VALUES (?1, ?2, ?3, ?4, ?4)",
                    row,
                )
            except sqlite3.IntegrityError as error:
                raise StoreError(f"The session {session_id} already exists.") from error

        await self._write(work)

    async def append(self, session_id: str, kind: str, payload: str) -> None:
        """Add an event at the end of a session; it is safe when this returns."""

        def work(db: sqlite3.Connection) -> None:
            now = time.time()
            touched = db.execute(
                "UPDATE sessions SET updated = ?2 WHERE id = ?1", (session_id, now)
            )
            if touched.rowcount == 0:
                raise StoreError(f"There is no session {session_id} in the history.")
            db.execute(
                "INSERT INTO events (session_id, seq, kind, payload, at) "
                "SELECT ?1, COALESCE(MAX(seq), 0) + 1, ?2, ?3, ?4 "
                "FROM events WHERE session_id = ?1",
                (session_id, kind, payload, now),
            )

        await self._write(work)

    async def events(self, session_id: str) -> list[str]:
        """Return the payloads of a session in the order of their coming; none if unknown."""

        def work(db: sqlite3.Connection) -> list[str]:
            rows = db.execute(
                "SELECT payload FROM events WHERE session_id = ? ORDER BY seq", (session_id,)
            )
            return [row[0] for row in rows]

        return await self._read(work)

    async def get(self, session_id: str) -> SessionRecord | None:
        """Return a session, or None if there is none of this id."""

        def work(db: sqlite3.Connection) -> SessionRecord | None:
            row = db.execute(f"{_SELECT} WHERE id = ?", (session_id,)).fetchone()
            return None if row is None else _record(row)

        return await self._read(work)

    async def list(
        self,
        cwd: str | None = None,
        *,
        after: Position | None = None,
        limit: int = -1,
        unprompted: Collection[str] | None = None,
    ) -> list[SessionRecord]:
        """Return the sessions, those of one working directory if given, latest used first.

        `after` is the position of the last one seen, `limit` the most to return. With `unprompted`,
        sessions in which nothing was asked are left out unless their id is in it.
        """
        named = None if unprompted is None else json.dumps(sorted(unprompted))

        def work(db: sqlite3.Connection) -> list[SessionRecord]:
            rows = db.execute(
                f"{_SELECT} WHERE (?1 IS NULL OR cwd = ?1) "
                "AND (?2 IS NULL OR (updated, rowid) < (?2, ?3)) "
                "AND (?5 IS NULL OR prompted OR id IN (SELECT value FROM json_each(?5))) "
                "ORDER BY updated DESC, rowid DESC LIMIT ?4",
                (cwd, *(after or (None, None)), limit, named),
            )
            return [_record(row) for row in rows]

        return await self._read(work)

    async def delete(self, session_id: str) -> None:
        """Remove a session with its events; one that is not there is no error."""
        await self._write(
            lambda db: db.execute("DELETE FROM sessions WHERE id = ?", (session_id,)) and None
        )

    async def fork(self, session_id: str, new_id: str, cwd: str, meta: dict[str, Any]) -> None:
        """Copy a session with its events and title under a new id, with its `meta` and more."""

        def work(db: sqlite3.Connection) -> None:
            row = db.execute(
                "SELECT title, meta FROM sessions WHERE id = ?", (session_id,)
            ).fetchone()
            if row is None:
                raise StoreError(f"There is no session {session_id} in the history.")
            merged = json.dumps({**json.loads(row[1]), **meta})
            db.execute(
                "INSERT INTO sessions (id, cwd, title, meta, created, updated) "
                "VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
                (new_id, cwd, row[0], merged, time.time()),
            )
            db.execute(
                "INSERT INTO events (session_id, seq, kind, payload, at) "
                "SELECT ?2, seq, kind, payload, at FROM events WHERE session_id = ?1",
                (session_id, new_id),
            )

        await self._write(work)

    async def update(
        self, session_id: str, title: str | None = None, meta: dict[str, Any] | None = None
    ) -> None:
        """Set a session's title and add to, or replace in, its `meta`; None leaves as it is.

        What is noted in `meta` alone is no use of the session, whose time of last use stays.
        """

        def work(db: sqlite3.Connection) -> None:
            row = db.execute("SELECT meta FROM sessions WHERE id = ?", (session_id,)).fetchone()
            if row is None:
                raise StoreError(f"There is no session {session_id} in the history.")
            merged = json.dumps({**json.loads(row[0]), **(meta or {})})
            db.execute(
                "UPDATE sessions SET title = COALESCE(?2, title), meta = ?3, "
                "updated = CASE WHEN ?2 IS NULL THEN updated ELSE ?4 END WHERE id = ?1",
                (session_id, title, merged, time.time()),
            )

        await self._write(work)

    async def close(self) -> None:
        """Close the file; the store opens it again if it is used again."""
        await anyio.to_thread.run_sync(self._disconnect, limiter=self._one_thread)

    async def _write(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        # Not abandoned on cancel: what was begun is finished, so that no one is told less than
        # the file holds.
        return await anyio.to_thread.run_sync(self._work, work, True, limiter=self._one_thread)

    async def _read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        return await anyio.to_thread.run_sync(self._work, work, False, limiter=self._one_thread)

    def _work(self, work: Callable[[sqlite3.Connection], Result], writes: bool) -> Result:
        try:
            with self._reported():
                db = self._connect()
                with _transaction(db, writes=writes):
                    return work(db)
        except _Damaged as error:
            self._disconnect()
            raise StoreError(self._set_aside()) from error

    def _connect(self) -> sqlite3.Connection:
        if self._connection is not None and self._file != _identity(self._path):
            # Deleted, or set aside by another process: what went there now would be lost.
            self._disconnect()
        if self._connection is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # The history holds source code: for the owner only.
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            connection = _open(self._path)
            try:
                _write_ahead(connection)
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("PRAGMA foreign_keys = ON")
                migrate(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
            self._file = _identity(self._path)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Say every trouble with the file in one sentence."""
        try:
            yield
        except NewerSchemaError as error:
            raise StoreError(
                f"The session history {self._path} was written by a newer Punie; "
                "update Punie to read it."
            ) from error
        except sqlite3.Error as error:
            if _is_damage(error):
                raise _Damaged from error
            raise StoreError(self._explain(error)) from error
        except (OSError, ValueError) as error:
            raise StoreError(
                f"The session history {self._path} cannot be used: {_reason(error)}."
            ) from error

    def _explain(self, error: sqlite3.Error) -> str:
        match _code(error):
            case sqlite3.SQLITE_FULL:
                return f"The session history {self._path} cannot be saved: the disk is full."
            case sqlite3.SQLITE_READONLY:
                return f"The session history {self._path} cannot be saved: it is read-only."
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return f"The session history {self._path} is locked by another program."
            case _:
                return f"The session history {self._path} cannot be used: {error}."

    def _set_aside(self) -> str:
        """Move a damaged file out of the way and return the sentence that tells of it."""
        try:
            with self._path.with_name(self._path.name + ".lock").open("a") as lock:
                # Another process may have done it a moment ago; the new file is then sound.
                fcntl.flock(lock, fcntl.LOCK_EX)
                if _is_sound(self._path):
                    return f"The session history {self._path} was damaged and begun anew."
                number = 1
                while (
                    aside := self._path.with_name(f"{self._path.name}.corrupt-{number}")
                ).exists():
                    number += 1
                for suffix in ("-wal", "-shm"):
                    with suppress(FileNotFoundError):
                        Path(f"{self._path}{suffix}").rename(f"{aside}{suffix}")
                self._path.rename(aside)
        except OSError as error:
            return f"The session history {self._path} is damaged and stays: {_reason(error)}."
        return (
            f"The session history was damaged; it was set aside as {aside} and a new one is begun."
        )


_SELECT = (
    "SELECT id, cwd, title, meta, created, updated, rowid, EXISTS ("
    "SELECT 1 FROM events WHERE session_id = id AND kind = 'user_message') AS prompted "
    "FROM sessions"
)


def _record(row: tuple[Any, ...]) -> SessionRecord:
    session_id, cwd, title, meta, created, updated, number, prompted = row
    return SessionRecord(
        session_id,
        cwd,
        title,
        json.loads(meta),
        datetime.fromtimestamp(created, UTC),
        datetime.fromtimestamp(updated, UTC),
        (updated, number),
        bool(prompted),
    )


def _open(path: Path) -> sqlite3.Connection:
    # Transactions are written out by hand; the store lets one thread in at a time.
    return sqlite3.connect(
        path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )


def _write_ahead(db: sqlite3.Connection) -> None:
    # SQLite does not wait by itself when another process is about to do the same.
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_BUSY_STEP_SECONDS)
        else:
            return


@contextmanager
def _transaction(db: sqlite3.Connection, *, writes: bool) -> Iterator[None]:
    # A transaction that writes takes its lock at once, where waiting for it is still possible.
    db.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            if db.in_transaction:
                db.execute("ROLLBACK")
        raise


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _is_sound(path: Path) -> bool:
    if not path.exists():
        return True
    try:
        with closing(_open(path)) as db:
            return bool(db.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
    except sqlite3.Error as error:
        return not _is_damage(error)


def _code(error: sqlite3.Error) -> int | None:
    extended: int | None = getattr(error, "sqlite_errorcode", None)
    return None if extended is None else extended & 0xFF


def _is_damage(error: sqlite3.Error) -> bool:
    return _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error)
