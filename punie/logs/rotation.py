"""An append-only log file shared by several processes, which rotates when it is full."""

import contextlib
import fcntl
import os
import threading
import time
from pathlib import Path

MAX_BYTES = 5_000_000
FILES = 5
"""Files kept, the current one included."""
_LOCK_TRIES = 5
_LOCK_PAUSE_S = 0.002
_RETRY_AFTER_S = 30.0


def log_file(state_dir: Path) -> Path:
    """Return the path of the current log file in a state folder."""
    return state_dir / "logs" / "punie.log"


def all_log_files(path: Path) -> list[Path]:
    """Return the log files that may exist, newest first."""
    return [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, FILES))]


class RotatingFile:
    """Appends lines, each in one write. Never raises: a log must not break what it describes.

    Processes take turns through a lock file, and the wait for it is bounded: where the lock
    cannot be had, the line is appended without it and rotation is left to the next writer.
    """

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._thread_lock = threading.Lock()
        self._file: int | None = None
        self._lock: int | None = None
        self._torn = False
        self._retry_at = 0.0

    def write(self, line: str) -> None:
        """Append one line (without its line end)."""
        data = line.encode("utf-8", "backslashreplace").replace(b"\n", b" ") + b"\n"
        with self._thread_lock:
            if time.monotonic() < self._retry_at:
                return
            try:
                self._append(data)
            except OSError:
                self._close()
                self._retry_at = time.monotonic() + _RETRY_AFTER_S

    def close(self) -> None:
        """Close the file; a later `write` opens it again."""
        with self._thread_lock:
            self._close()

    def _append(self, data: bytes) -> None:
        if self._lock is None:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _open(self._path.with_name(f"{self._path.name}.lock"), os.O_RDWR)
        locked = _try_lock(self._lock)
        try:
            self._follow_rotation()
            if self._file is None:
                self._file = _open(self._path, os.O_WRONLY | os.O_APPEND)
            if locked and os.fstat(self._file).st_size + len(data) > self._max_bytes:
                self._rotate()
            if self._torn:
                data = b"\n" + data
            self._torn = os.write(self._file, data) != len(data)
        finally:
            if locked:
                with contextlib.suppress(OSError):
                    fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _follow_rotation(self) -> None:
        """Let go of our file when another process has renamed or removed it."""
        if self._file is None:
            return
        ours = os.fstat(self._file)
        try:
            current = self._path.stat()
        except FileNotFoundError:
            current = None
        if current is None or (ours.st_dev, ours.st_ino) != (current.st_dev, current.st_ino):
            os.close(self._file)
            self._file = None
            self._torn = False

    def _rotate(self) -> None:
        assert self._file is not None
        if os.fstat(self._file).st_size == 0:
            return
        names = all_log_files(self._path)
        for older, newer in reversed(list(zip(names[1:], names, strict=False))):
            with contextlib.suppress(FileNotFoundError):
                newer.replace(older)
        os.close(self._file)
        self._file = None
        self._torn = False
        self._file = _open(self._path, os.O_WRONLY | os.O_APPEND)

    def _close(self) -> None:
        for descriptor in (self._file, self._lock):
            if descriptor is not None:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        self._file = self._lock = None


def _open(path: Path, flags: int) -> int:
    # 0o600: prompts and paths of the user may stand in here.
    return os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try_lock(descriptor: int) -> bool:
    for attempt in range(_LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if attempt + 1 < _LOCK_TRIES:
                time.sleep(_LOCK_PAUSE_S)
        else:
            return True
    return False
