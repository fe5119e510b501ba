"""The connection between the machine that leads and one that follows: lines of JSON."""

import json
import socket
from contextlib import suppress
from typing import Any

Message = dict[str, Any]

_IDLE_SECONDS = 10
_PROBES = 3
_PROBE_SECONDS = 5


class Wire:
    """One side of the connection; sending and receiving may be done in different threads."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(None)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A machine that is switched off does not say so.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (
            ("TCP_KEEPIDLE", _IDLE_SECONDS),
            ("TCP_KEEPALIVE", _IDLE_SECONDS),  # macOS's name for it
            ("TCP_KEEPINTVL", _PROBE_SECONDS),
            ("TCP_KEEPCNT", _PROBES),
        ):
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._socket = connection
        self._file = connection.makefile("rb")

    def send(self, message: Message) -> None:
        """Send one message; raises OSError if the other side is gone."""
        self._socket.sendall(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    def receive(self, seconds: float | None = None) -> Message | None:
        """Wait for a message; None at the end of the connection.

        Raises OSError, also when none comes in `seconds`, and ValueError for what is no message.
        """
        self._socket.settimeout(seconds)
        line = self._file.readline()
        self._socket.settimeout(None)
        if not line.endswith(b"\n"):
            return None
        message = json.loads(line)
        if not isinstance(message, dict):
            raise ValueError("a message is an object")
        return message

    def close(self) -> None:
        """End the connection, also for a thread that is receiving."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._file.close()
        self._socket.close()
