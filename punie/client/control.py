"""Looks at the user's server and stops it: only the one that the state folder names."""

import http.client
import json
import os
import signal
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from punie.server.record import (
    AlreadyRunning,
    ServerRecord,
    is_locked,
    left_record,
    read_record,
    read_token,
    remove_record,
    server_lock,
)

_ANSWER_SECONDS = 5.0
_SETTLE_SECONDS = 5.0
_STOP_SECONDS = 25.0
_STEP_SECONDS = 0.05


class CannotStop(Exception):  # noqa: N818 - it names a state, as the user reads it
    """The server cannot be stopped; the message is one sentence."""


@dataclass(frozen=True)
class ServerStatus:
    """A server that runs; `numbers` is what it says of itself, None if it does not answer."""

    record: ServerRecord
    numbers: dict[str, Any] | None


def server_status(state_dir: Path) -> ServerStatus | None:
    """Ask the running server of this state folder how it is; None if none is running."""
    record = read_record(state_dir)
    if record is None:
        return None
    return ServerStatus(record, _numbers(record, read_token(state_dir) or ""))


def stop_server(state_dir: Path) -> ServerRecord | None:
    """End the running server and wait until it is gone; return which it was, None for none.

    What a server left behind that is gone already is removed. Raises `CannotStop`.
    """
    deadline = time.monotonic() + _SETTLE_SECONDS
    while (record := read_record(state_dir)) is None:
        if _nobody_runs(state_dir):
            return None
        if time.monotonic() > deadline:
            raise CannotStop(_unnamed(state_dir))
        time.sleep(_STEP_SECONDS)
    with suppress(ProcessLookupError):
        os.kill(record.pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while is_locked(state_dir):
        if time.monotonic() > deadline:
            raise CannotStop(
                f"the server (process {record.pid}) does not end; `kill -9 {record.pid}` ends it."
            )
        time.sleep(_STEP_SECONDS)
    return record


def clear_stale_record(state_dir: Path) -> ServerRecord | None:
    """Remove the record of a server that is gone; return it, None if there was none."""
    stale = left_record(state_dir)
    if stale is None or is_locked(state_dir):
        return None
    try:
        with server_lock(state_dir):
            remove_record(state_dir)
    except (AlreadyRunning, OSError):
        return None
    return stale


def _nobody_runs(state_dir: Path) -> bool:
    return not is_locked(state_dir)


def _unnamed(state_dir: Path) -> str:
    left = left_record(state_dir)
    if left is None:
        return "a server holds the lock but has no record yet; try again in a moment."
    return (
        f"the record names process {left.pid}, which is not the server that runs; nothing was "
        "stopped."
    )


def _numbers(record: ServerRecord, token: str) -> dict[str, Any] | None:
    address = urlsplit(record.url)
    connection: http.client.HTTPConnection
    try:
        if address.scheme == "https":
            context = ssl.create_default_context(cafile=record.certificate)
            connection = http.client.HTTPSConnection(
                address.netloc, timeout=_ANSWER_SECONDS, context=context
            )
        else:
            connection = http.client.HTTPConnection(address.netloc, timeout=_ANSWER_SECONDS)
        try:
            connection.request("GET", "/status", headers={"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            numbers = json.loads(answer.read()) if answer.status == 200 else None
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError):
        return None
    return numbers if isinstance(numbers, dict) else None
