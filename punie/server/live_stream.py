"""What a watcher of the page is sent: first all that there is, then what changes."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from punie import __version__
from punie.logs.reader import LogFilter, LogReader, LogRecord
from punie.server.live import Live
from punie.server.live_sessions import LiveSession

Json = dict[str, Any]
MOST_WATCHERS = 10
_PAUSE_SECONDS = 0.1
_NUMBERS_SECONDS = 2.0
_FIRST_RECORDS = 200
_RECORD_CHARS = 4_000
_MOST_CHANGES = 100
_NOT_SHOWN = frozenset({"time", "level", "event", "logger", "command", "pid"})


class Watcher:
    """What one page has been shown, and so what it lacks."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._seen = -1
        self._connections: list[Json] | None = None
        self._items: dict[str, dict[int, int]] = {}

    @property
    def seen(self) -> int:
        """The revision that has been shown."""
        return self._seen

    def changes(self) -> list[Json]:
        """Return what is to be shown now, in order."""
        live = self._live
        told: list[Json] = []
        connections = [
            {"id": each.id[:8], "kind": each.kind, "client": each.client, "since": each.since}
            for each in live.connections.values()
        ]
        if connections != self._connections:
            self._connections = connections
            told.append({"type": "connections", "connections": connections})
        for session_id in [each for each in self._items if each not in live.sessions]:
            del self._items[session_id]
            told.append({"type": "gone", "session": session_id})
        for session in live.sessions.values():
            if session.revision > self._seen:
                told.append({"type": "session", **session.as_json()})
                told.extend(self._of_session(session))
        self._seen = live.revision
        return told

    def _of_session(self, session: LiveSession) -> list[Json]:
        told: list[Json] = []
        shown = self._items.get(session.id, {})
        now: dict[int, int] = {}
        for item in session.items:
            length = shown.get(item.number)
            now[item.number] = len(item.text)
            if length is None or item.revision > self._seen:
                told.append({"type": "item", "session": session.id, "item": item.as_json()})
            elif item.changed > self._seen:
                more = item.text[length:]
                told.append({"type": "more", "session": session.id, "n": item.number, "text": more})
        self._items[session.id] = now
        return told


class LogTail:
    """The end of the log, and then what is new in it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last: str | None = None

    def new_records(self) -> list[Json]:
        """Return the records since the last call, the oldest first; reads files."""
        found: list[LogRecord] = []
        for record in LogReader(self._path).newest_first(LogFilter(), _FIRST_RECORDS):
            if record.line == self._last:
                break
            found.append(record)
        if found:
            self._last = found[0].line
        return [_shown(record) for record in reversed(found)]


async def watch(
    live: Live, numbers: Callable[[], Json], log_file: Path, *, pause: float = _PAUSE_SECONDS
) -> AsyncIterator[bytes]:
    """Yield events, each a line of JSON in the form of server-sent events, until the server ends.

    There is one every few seconds, so that a page knows that the server is there.
    """
    watcher, tail = Watcher(live), LogTail(log_file)
    live.watchers += 1
    try:
        told: list[Json] = [{"type": "hello", "version": __version__}]
        due = anyio.current_time()
        while not live.ended.is_set():
            if anyio.current_time() >= due:
                due = anyio.current_time() + _NUMBERS_SECONDS
                records = await anyio.to_thread.run_sync(tail.new_records)
                told.append({"type": "numbers", **numbers()})
                told.append({"type": "log", "records": records})
            told.extend(watcher.changes())
            for begin in range(0, len(told), _MOST_CHANGES):
                yield _event(told[begin : begin + _MOST_CHANGES])
            told = []
            # What comes at once is shown at once; no screen shows every token.
            await anyio.sleep(pause)
            with anyio.move_on_after(max(0.0, due - anyio.current_time())):
                await live.wait_change(watcher.seen)
    finally:
        live.watchers -= 1


def _event(changes: list[Json]) -> bytes:
    return b"data: " + json.dumps(changes, separators=(",", ":")).encode() + b"\n\n"


def _shown(record: LogRecord) -> Json:
    fields = {name: value for name, value in record.fields.items() if name not in _NOT_SHOWN}
    rest = " ".join(f"{name}={value}" for name, value in fields.items())
    return {
        "at": record.time.timestamp(),
        "level": record.level,
        "event": record.event[:_RECORD_CHARS],
        "fields": rest[:_RECORD_CHARS],
    }
