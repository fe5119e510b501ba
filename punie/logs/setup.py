"""Logging: `get_logger` anywhere, `configure_logging` once per process.

Importing structlog costs about 0.2 s, which the answer to `initialize` must not wait for. So
loggers are light, what they say is kept in memory at first, and structlog is imported when the
program calls `open_log`, when something worse than information is said, a second after the first
event, or at exit. Nothing ever goes to stdout or stderr.
"""

import atexit
import contextlib
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from punie.logs.rotation import RotatingFile, log_file

LEVELS: Final[dict[str, int]] = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}
_OPEN_AFTER_S = 1.0
_KEPT_BEFORE_OPEN = 1_000

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_context: ContextVar[Mapping[str, Any]] = ContextVar("punie_log_context", default=_NOTHING)
_log: "_Log | None" = None


class Logger:
    """Says what happened, as an event name and fields; drops it until logging is configured."""

    def __init__(self, name: str) -> None:
        self.name = name

    def debug(self, event: str, **fields: Any) -> None:
        """Log detail that only a developer wants."""
        _say("DEBUG", self.name, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Log an ordinary event."""
        _say("INFO", self.name, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Log something that went wrong and was dealt with."""
        _say("WARNING", self.name, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Log something that the user lost by."""
        _say("ERROR", self.name, event, fields)

    def exception(self, event: str, **fields: Any) -> None:
        """Log an error with the traceback of the exception being handled."""
        _say("ERROR", self.name, event, {**fields, "exc_info": sys.exc_info()})


def get_logger(name: str) -> Logger:
    """Return a logger; cheap, and usable before `configure_logging`."""
    return Logger(name)


@contextlib.contextmanager
def log_context(**fields: Any) -> Iterator[None]:
    """Add fields, such as `session` and `project`, to all that is logged inside."""
    token = _context.set({**_context.get(), **fields})
    try:
        yield
    finally:
        _context.reset(token)


def configure_logging(state_dir: Path, level: str, project: Path | None, command: str) -> None:
    """Send this process's log to `<state_dir>/logs/punie.log` from `level` upwards.

    A folder that cannot be written to is no error: the lines are dropped.
    """
    global _log
    close_log()
    common: dict[str, Any] = {"command": command, "pid": os.getpid()}
    if project is not None:
        common["project"] = str(project)
    _log = _Log(RotatingFile(log_file(state_dir)), LEVELS[level], common)
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, _FromLibraries):
            root.removeHandler(handler)
    # With a handler on the root, the standard library never falls back to stderr.
    root.addHandler(_FromLibraries(level=LEVELS[level]))
    logging.getLogger("punie").setLevel(LEVELS[level])


def open_log() -> None:
    """Import what logging needs and write what was kept until now."""
    if _log is not None:
        _log.open()


def close_log() -> None:
    """Write what was kept and close the file; what is logged afterwards is dropped."""
    global _log
    if _log is not None:
        _log.open()
        _log.file.close()
        _log = None


@dataclass
class _Log:
    file: RotatingFile
    threshold: int
    common: Mapping[str, Any]
    kept: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_KEPT_BEFORE_OPEN))
    write: Callable[[dict[str, Any]], None] | None = None
    timer: threading.Timer | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)

    def take(self, entry: dict[str, Any], *, urgent: bool) -> None:
        with self.lock:
            if self.write is not None:
                self.write(entry)
                return
            self.kept.append(entry)
            if urgent:
                self.open()
            elif self.timer is None:
                self.timer = threading.Timer(_OPEN_AFTER_S, self.open)
                self.timer.daemon = True
                self.timer.start()

    def open(self) -> None:
        with self.lock:
            if self.timer is not None:
                self.timer.cancel()
            if self.write is None and self.kept:
                from punie.logs.rendering import make_renderer

                render = make_renderer()
                self.write = lambda entry: self.file.write(render(entry))
            while self.kept and self.write is not None:
                self.write(self.kept.popleft())


def _say(level: str, name: str, event: str, fields: Mapping[str, Any]) -> None:
    log = _log
    number = LEVELS[level]
    if log is None or number < log.threshold:
        return
    entry = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": level,
        "logger": name,
        "event": event,
        **log.common,
        **_context.get(),
        **fields,
    }
    # Logging must never break what it describes, whatever a field's `str` does.
    with contextlib.suppress(Exception):
        log.take(entry, urgent=number >= LEVELS["WARNING"])


class _FromLibraries(logging.Handler):
    """Takes what is said through the standard library: all of ours, warnings of others."""

    def emit(self, record: logging.LogRecord) -> None:
        ours = record.name == "punie" or record.name.startswith("punie.")
        if not ours and record.levelno < logging.WARNING:
            return
        try:
            message = record.getMessage()
        except Exception:
            message = str(record.msg)
        fields: dict[str, Any] = {}
        if record.exc_info and record.exc_info[1] is not None:
            fields["exc_info"] = record.exc_info
        _say(_level_name(record.levelno), record.name, message, fields)


def _level_name(number: int) -> str:
    return next((name for name, least in reversed(LEVELS.items()) if number >= least), "DEBUG")


atexit.register(close_log)
