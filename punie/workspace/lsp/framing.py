"""How messages of the Language Server Protocol lie in a stream of bytes."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

_END_OF_HEADER = b"\r\n\r\n"
_MAX_HEADER_BYTES = 4_096
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""A longer message ends the connection."""


class FramingError(Exception):
    """What came is no message."""


def framed(message: Mapping[str, Any]) -> bytes:
    """Return a message with its header."""
    body = json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":")).encode()
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


class MessageStream:
    """Takes bytes as they come and gives the messages that are whole."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Take the next bytes and yield what they complete; raise `FramingError`."""
        self._bytes += data
        while (end := self._bytes.find(_END_OF_HEADER)) >= 0:
            length = _length(bytes(self._bytes[:end]))
            start = end + len(_END_OF_HEADER)
            if len(self._bytes) < start + length:
                return
            body = bytes(self._bytes[start : start + length])
            del self._bytes[: start + length]
            yield _message(body)
        if len(self._bytes) > _MAX_HEADER_BYTES:
            raise FramingError("a header has no end")


def _length(header: bytes) -> int:
    for line in header.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            length = int(value)
            if length <= MAX_MESSAGE_BYTES:
                return length
            raise FramingError(f"a message has {length} bytes")
    raise FramingError("a header tells no length")


def _message(body: bytes) -> dict[str, Any]:
    try:
        message = json.loads(body)
    except ValueError as error:
        raise FramingError("a message is no JSON") from error
    if not isinstance(message, dict):
        raise FramingError("a message is no object")
    return message
