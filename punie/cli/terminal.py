"""The terminal that a person sits at: what is asked there, and text that cannot steer it."""

import contextlib
import os
import select
import sys
from dataclasses import dataclass

import anyio

_POLL_S = 0.05


@dataclass(frozen=True)
class Terminal:
    """The terminal that questions are asked on; `descriptor` is read from."""

    descriptor: int


def open_terminal() -> Terminal | None:
    """Return the controlling terminal if somebody sits at it, even when stdin is a pipe."""
    if not sys.stderr.isatty():
        return None
    with contextlib.suppress(OSError):
        return Terminal(os.open("/dev/tty", os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY))
    return Terminal(os.dup(0)) if sys.stdin.isatty() else None


async def read_line(terminal: Terminal) -> str | None:
    """Read one line; None at the end of input. Polls, because kqueue cannot watch a terminal."""
    while not select.select([terminal.descriptor], [], [], 0)[0]:
        await anyio.sleep(_POLL_S)
    data = os.read(terminal.descriptor, 4_096)
    return data.decode("utf-8", "replace").strip() if data else None


def printable(text: str) -> str:
    """Take out the characters with which a text could steer the terminal."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in "\n\t" else "\ufffd"
        for character in text.replace("\r\n", "\n")
    )
