"""The session store: every event of every session, in one SQLite file that many processes share.

What `append` has acknowledged is there after the process was killed at any point. Only a crash of
the whole machine may lose the last moments.
"""

import json
import sqlite3
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from punie.database import Database
from punie.sessions.schema import MIGRATIONS

Result = TypeVar("Result")


class StoreError(Exception):
    """Sessions could not be saved or read; the message is one sentence for the person."""


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
        self._database = Database(path, "session history", MIGRATIONS, StoreError)
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
        await anyio.to_thread.run_sync(self._database.close, limiter=self._one_thread)

    async def _write(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        return await self._work(work, writes=True)

    async def _read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        return await self._work(work, writes=False)

    async def _work(self, work: Callable[[sqlite3.Connection], Result], *, writes: bool) -> Result:
        # Not abandoned on cancel: what was begun is finished, so that no one is told less than
        # the file holds.
        return await anyio.to_thread.run_sync(
            partial(self._database.work, work, writes=writes), limiter=self._one_thread
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
