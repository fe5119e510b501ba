"""What the page is told of: connections, sessions, and the things in a session's stream."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

ITEM_CHARS = 200
"""Characters that a thing in a stream counts besides its text."""


@dataclass(eq=False)
class LiveItem:
    """One thing in a session's stream: `prompt`, `text`, `thought`, `call`, `plan`, `question`,
    `notice` or `end`. `text` only ever grows; `revision` is when the rest last changed.
    """

    number: int
    kind: str
    at: float
    revision: int
    changed: int
    text: str = ""
    message_id: str | None = None
    data: Json = field(default_factory=dict)
    chars: int = ITEM_CHARS

    def as_json(self) -> Json:
        """Return all of it."""
        return {
            "n": self.number,
            "kind": self.kind,
            "at": self.at,
            "text": self.text,
            **self.data,
        }


@dataclass(eq=False)
class LiveConnection:
    """A client; `since` is when it came, in seconds of the epoch."""

    id: str
    kind: str
    since: float
    client: str = ""


@dataclass(eq=False)
class LiveSession:
    """A session; `connection` is that of the client that has it open, None when it is closed."""

    id: str
    connection: LiveConnection | None
    cwd: str = ""
    title: str = ""
    mode: str = ""
    model: str = ""
    used: int = 0
    size: int = 0
    running: set[Any] = field(default_factory=set)
    questions: int = 0
    items: deque[LiveItem] = field(default_factory=deque)
    calls: dict[str, LiveItem] = field(default_factory=dict)
    chars: int = 0
    last_number: int = 0
    revision: int = 0

    @property
    def state(self) -> str:
        """What it is doing: `waiting` for an answer, `running`, `idle` or `closed`."""
        if self.connection is None:
            return "closed"
        if self.questions:
            return "waiting"
        return "running" if self.running else "idle"

    def as_json(self) -> Json:
        """Return what it is, without its stream."""
        return {
            "id": self.id,
            "cwd": self.cwd,
            "title": self.title,
            "client": "" if self.connection is None else self.connection.client,
            "connection": "" if self.connection is None else self.connection.id[:8],
            "mode": self.mode,
            "model": self.model,
            "used": self.used,
            "size": self.size,
            "state": self.state,
            "first": self.items[0].number if self.items else self.last_number + 1,
        }
