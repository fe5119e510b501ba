"""How much memory a program holds: one that reads what has no end is ended before all is gone.

A link in a project may lead to a device without an end, and what a tool starts follows it wherever
it finds a settings or ignore file. A limit of the system would do on Linux; macOS heeds none.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

from punie.workspace.processes import ProcessGroup, signal_group

MAX_BYTES = 6 << 30
"""More is held by no checker, search or git, and would be missed by all else that runs."""

_FIRST_SECONDS = 1.0
_SECONDS = 0.4
_SHOWN_SECONDS = 5


class MemoryWatch:
    """Kills a program when it holds too much, while this is entered; `exceeded` tells of it.

    It has a thread of its own, so that it needs no event loop and keeps nobody waiting.
    """

    def __init__(self, group: ProcessGroup) -> None:
        self.exceeded = False
        self._group = group
        self._over = threading.Event()

    def __enter__(self) -> "MemoryWatch":
        threading.Thread(target=self._watch, name="memory watch", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def _watch(self) -> None:
        wait = _FIRST_SECONDS
        while not self._over.wait(wait):
            if memory_of(self._group.number) > MAX_BYTES and not self._over.is_set():
                self.exceeded = True
                signal_group(self._group, signal.SIGKILL)
                return
            wait = _SECONDS


def memory_of(process: int) -> int:
    """Return how many bytes a process and all that it started hold, 0 if nobody knows. Blocks."""
    held: dict[int, int] = {}
    children: dict[int, list[int]] = {}
    for number, parent, size in _processes():
        held[number] = size
        children.setdefault(parent, []).append(number)
    total, waiting = 0, [process]
    while waiting:
        number = waiting.pop()
        total += held.get(number, 0)
        waiting += children.pop(number, [])
    return total


def _processes() -> Iterator[tuple[int, int, int]]:
    """Return of every process its number, its parent's and its bytes in memory."""
    if sys.platform != "linux":
        yield from _shown()
        return
    page = os.sysconf("SC_PAGE_SIZE")
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            with open(f"/proc/{entry.name}/stat", "rb") as file:  # noqa: PTH123
                # The name in parentheses may hold anything; after it come state and parent.
                fields = file.read().rpartition(b")")[2].split()
            yield int(entry.name), int(fields[1]), int(fields[21]) * page
        except (OSError, IndexError):
            continue


def _shown() -> Iterator[tuple[int, int, int]]:
    try:
        shown = subprocess.run(
            ["/bin/ps", "-A", "-o", "pid=,ppid=,rss="],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SHOWN_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return
    for line in shown.stdout.splitlines():
        number, parent, kilobytes = map(int, line.split())
        yield number, parent, kilobytes * 1024
