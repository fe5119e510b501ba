"""Keeps what a client and the agent say to each other, as JSON lines."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from punie.client.acp_socket import Tap

Captured = dict[str, Any]
Capture = str | Path | Callable[[Captured], None]
"""A file that is added to, or what is called with each record."""


@contextmanager
def capturing(capture: Capture | None) -> Iterator[Tap | None]:
    """Return what keeps each message with its time (UTC) and its direction; `sent` is ours.

    A file is the user's alone: it holds all that was said, whatever it is.
    """
    if capture is None:
        yield None
    elif callable(capture):
        take = capture
        yield lambda message, incoming: take(_record(message, incoming))
    else:
        handle = os.open(capture, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8", buffering=1) as file:
            yield lambda message, incoming: _write(file.write, _record(message, incoming))


def _record(message: dict[str, Any], incoming: bool) -> Captured:
    return {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "direction": "received" if incoming else "sent",
        "message": message,
    }


def _write(write: Callable[[str], int], record: Captured) -> None:
    write(json.dumps(record, separators=(",", ":")) + "\n")
