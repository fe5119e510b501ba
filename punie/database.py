"""SQLite files that processes share: kept open, brought up to date, set aside if damaged."""

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")
Migrations = tuple[tuple[str, ...], ...]
"""Statements that make each version of the tables from the one before, oldest first.

Entries that were released are never changed.
"""

_BUSY_SECONDS = 10.0
_BUSY_STEP_SECONDS = 0.01


class _Damaged(Exception):  # noqa: N818 - never leaves this module
    """The file is not a database, or a broken one."""


class Database:
    """The SQLite file at `path`, which is made, with its folder, on first use; for its owner only.

    `called` is what it is to the person, such as "session history". One thread at a time may use
    it. All trouble with the file is raised as `error`, whose message is one sentence, after which
    the database may be used on: a file that is damaged is set aside as `<name>.corrupt-N` and the
    next call begins a new one.
    """

    def __init__(
        self, path: Path, called: str, migrations: Migrations, error: type[Exception]
    ) -> None:
        self.path = path
        self._called = called
        self._migrations = migrations
        self._error = error
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    def work(self, work: Callable[[sqlite3.Connection], Result], *, writes: bool) -> Result:
        """Do some work in one transaction, all or nothing of it; what it raises ends it."""
        try:
            with self._reported():
                db = self._connect()
                with _transaction(db, writes=writes):
                    return work(db)
        except _Damaged as error:
            self.close()
            raise self._error(self._set_aside()) from error

    def close(self) -> None:
        """Close the file; it is opened again if it is used again."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _connect(self) -> sqlite3.Connection:
        if self._connection is not None and self._file != _identity(self.path):
            # Deleted, or set aside by another process: what went there now would be lost.
            self.close()
        if self._connection is None:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # It holds what the person works on: for the owner only.
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            connection = _open(self.path)
            try:
                _write_ahead(connection)
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("PRAGMA foreign_keys = ON")
                migrate(connection, self._migrations)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
            self._file = _identity(self.path)
        return self._connection

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Say every trouble with the file in one sentence."""
        try:
            yield
        except NewerSchemaError as error:
            raise self._error(
                f"The {self._called} {self.path} was written by a newer Punie; "
                "update Punie to read it."
            ) from error
        except sqlite3.Error as error:
            if _is_damage(error):
                raise _Damaged from error
            raise self._error(self._explain(error)) from error
        except (OSError, ValueError) as error:
            raise self._error(
                f"The {self._called} {self.path} cannot be used: {_reason(error)}."
            ) from error

    def _explain(self, error: sqlite3.Error) -> str:
        match _code(error):
            case sqlite3.SQLITE_FULL:
                return f"The {self._called} {self.path} cannot be saved: the disk is full."
            case sqlite3.SQLITE_READONLY:
                return f"The {self._called} {self.path} cannot be saved: it is read-only."
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return f"The {self._called} {self.path} is locked by another program."
            case _:
                return f"The {self._called} {self.path} cannot be used: {error}."

    def _set_aside(self) -> str:
        """Move a damaged file out of the way and return the sentence that tells of it."""
        try:
            with self.path.with_name(self.path.name + ".lock").open("a") as lock:
                # Another process may have done it a moment ago; the new file is then sound.
                fcntl.flock(lock, fcntl.LOCK_EX)
                if _is_sound(self.path):
                    return f"The {self._called} {self.path} was damaged and begun anew."
                number = 1
                while (aside := self.path.with_name(f"{self.path.name}.corrupt-{number}")).exists():
                    number += 1
                for suffix in ("-wal", "-shm"):
                    with suppress(FileNotFoundError):
                        Path(f"{self.path}{suffix}").rename(f"{aside}{suffix}")
                self.path.rename(aside)
        except OSError as error:
            return f"The {self._called} {self.path} is damaged and stays: {_reason(error)}."
        return (
            f"The {self._called} was damaged; it was set aside as {aside} and a new one is begun."
        )


class NewerSchemaError(Exception):
    """The file was written by a newer program."""


def migrate(connection: sqlite3.Connection, migrations: Migrations) -> None:
    """Apply the steps that are missing, all or none; several processes may try at once.

    Raises `NewerSchemaError` if the file is ahead of the program, and `sqlite3.Error`.
    """
    if _version(connection) == len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection)
        if version > len(migrations):
            raise NewerSchemaError
        for statements in migrations[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _open(path: Path) -> sqlite3.Connection:
    # Transactions are written out by hand; one thread at a time is let in.
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
