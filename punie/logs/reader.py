"""Reads the log back: newest first, or as it grows, through filters."""

import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from punie.logs.rotation import all_log_files
from punie.logs.setup import LEVELS

_BLOCK = 65_536
_POLL_S = 0.2


@dataclass(frozen=True)
class LogRecord:
    """One line of the log; `time` has a time zone, `line` is the JSON as it stands in the file."""

    time: datetime
    level: str
    event: str
    fields: dict[str, Any]
    line: str


@dataclass(frozen=True)
class LogFilter:
    """What to show; None lets everything pass.

    `session` is the beginning of a session id. `project` is a folder (that one and all below) or
    only its name. `level` is the lowest one shown. `pattern` is searched in the whole line.
    """

    session: str | None = None
    project: str | None = None
    level: str | None = None
    since: datetime | None = None
    pattern: re.Pattern[str] | None = None

    def passes(self, record: LogRecord) -> bool:
        """Tell whether a record is to be shown."""
        if self.since is not None and record.time < self.since:
            return False
        if self.level is not None and LEVELS.get(record.level, 0) < LEVELS[self.level]:
            return False
        if self.session is not None:
            session = record.fields.get("session")
            if not isinstance(session, str) or not session.startswith(self.session):
                return False
        if self.project is not None and not _in_project(record, self.project):
            return False
        if self.pattern is not None:
            # The raw line too, so that `"tool": "edit_file"` can be asked for.
            return bool(self.pattern.search(record.line) or self.pattern.search(record.event))
        return True


def _in_project(record: LogRecord, wanted: str) -> bool:
    project = record.fields.get("project")
    if not isinstance(project, str):
        return False
    path = Path(project)
    if "/" not in wanted and wanted not in (".", ".."):
        return wanted in path.parts
    return path.is_relative_to(Path(wanted).expanduser().absolute()) or path.is_relative_to(
        Path(wanted).expanduser().resolve()
    )


def parse_line(line: bytes) -> LogRecord | None:
    """Read one line; None when it is no record of ours (torn by a full disk, for example)."""
    try:
        text = line.decode()
        fields = json.loads(text)
        moment = datetime.fromisoformat(fields["time"])
        level, event = fields["level"], fields["event"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(level, str) or not isinstance(event, str):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return LogRecord(moment, level, event, fields, text)


_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def parse_since(text: str, now: datetime) -> datetime:
    """Read `90s`, `10m`, `2h`, `3d`, `1w` (that long before `now`) or an ISO date or time.

    A time without a zone is local. Raises `ValueError` with one sentence.
    """
    if match := re.fullmatch(r"(\d{1,9})\s*([smhdw])", text.strip().lower()):
        try:
            return now - timedelta(seconds=int(match[1]) * _UNITS[match[2]])
        except OverflowError:
            raise ValueError(f"{text!r} is too long ago.") from None
    try:
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is no time; give for example 10m, 2h, 3d or 2026-01-31T14:00."
        ) from None


class LogReader:
    """Reads the log files of one state folder and counts the lines that are no records."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.broken = 0

    def exists(self) -> bool:
        """Tell whether anything was ever logged."""
        return any(file.exists() for file in all_log_files(self._path))

    def newest_first(self, wanted: LogFilter, limit: int | None) -> Iterator[LogRecord]:
        """Yield at most `limit` records that pass, the last one written first."""
        left = limit
        for file in all_log_files(self._path):
            for line in _lines_backwards(file):
                if left == 0:
                    return
                record = self._record(line)
                if record is not None and wanted.passes(record):
                    yield record
                    left = None if left is None else left - 1

    def follow(
        self,
        wanted: LogFilter,
        tail: int,
        *,
        wait: Callable[[], None] = lambda: time.sleep(_POLL_S),
    ) -> Iterator[LogRecord]:
        """Yield the last `tail` records, oldest first, and then every new one; never ends.

        Files that were rotated away in the meantime are read to their ends, in order.
        """
        current = _open(self._path)
        # Where the file ends now is where following starts; what comes before is the tail.
        start = 0 if current is None else current.seek(0, os.SEEK_END)
        if current is not None and start:
            current.seek(start - 1)
            if current.read(1) != b"\n":
                start = _start_of_last_line(current, start)
        yield from reversed(list(self.newest_first(wanted, tail)))
        if current is not None:
            current.seek(start)
        while True:
            if current is not None:
                yield from self._new_records(current, wanted)
            newer = self._files_after(current)
            if newer:
                if current is not None:
                    # Written between our last read and the rotation.
                    yield from self._new_records(current, wanted)
                    current.close()
                for file in newer[:-1]:
                    yield from self._new_records(file, wanted)
                    file.close()
                current = newer[-1]
                continue
            wait()

    def _files_after(self, current: BinaryIO | None) -> list[BinaryIO]:
        """Open the files younger than the one being read, the oldest first."""
        opened: list[BinaryIO] = []
        ours = None if current is None else _identity(current)
        last_written = 0.0 if current is None else os.fstat(current.fileno()).st_mtime
        for path in all_log_files(self._path):
            file = _open(path)
            if file is None:
                if path == self._path:
                    # In the middle of a rotation: the next look will see all of it.
                    return []
                break
            # An older file means that ours is not there any more: it was deleted.
            if _identity(file) == ours or os.fstat(file.fileno()).st_mtime < last_written:
                file.close()
                break
            opened.append(file)
            if ours is None:
                break
        opened.reverse()
        return opened

    def _new_records(self, file: BinaryIO, wanted: LogFilter) -> Iterator[LogRecord]:
        while True:
            at = file.tell()
            line = file.readline()
            if not line.endswith(b"\n"):
                file.seek(at)
                return
            record = self._record(line)
            if record is not None and wanted.passes(record):
                yield record

    def _record(self, line: bytes) -> LogRecord | None:
        stripped = line.strip()
        if not stripped:
            return None
        record = parse_line(stripped)
        if record is None:
            self.broken += 1
        return record


def _open(path: Path) -> BinaryIO | None:
    with contextlib.suppress(FileNotFoundError):
        return path.open("rb")
    return None


def _identity(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino


def _start_of_last_line(file: BinaryIO, end: int) -> int:
    position = end
    while position > 0:
        size = min(_BLOCK, position)
        file.seek(position - size)
        at = file.read(size).rfind(b"\n")
        if at >= 0:
            return position - size + at + 1
        position -= size
    return 0


def _lines_backwards(path: Path) -> Iterator[bytes]:
    file = _open(path)
    if file is None:
        return
    with file:
        position = file.seek(0, os.SEEK_END)
        rest = b""
        while position > 0:
            size = min(_BLOCK, position)
            position -= size
            file.seek(position)
            pieces = (file.read(size) + rest).split(b"\n")
            rest = pieces[0]
            yield from (piece for piece in reversed(pieces[1:]) if piece)
        if rest:
            yield rest
