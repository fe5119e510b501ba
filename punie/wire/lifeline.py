"""Ends the process when its client is gone, whatever else hangs.

One small thread watches for signals, for the end of the parent and for a closed stdout. When one
of them comes, or the transport sees the end of stdin, every child process group is ended, the
event loop is asked to stop, and after a short grace the process exits even if it does not.
"""

import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

_POLL_MILLISECONDS = 250
_GRACE_SECONDS = 0.5
_CHILD_GRACE_SECONDS = 0.3
_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class Lifeline:
    """Watches the client; `exit` is the only way out of the process."""

    def __init__(self, outgoing: int) -> None:
        self._outgoing = outgoing
        self._parent = os.getppid()
        self._ending = threading.Event()
        self._code = 0
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._stop_loop: Callable[[], None] | None = None

    def start(self) -> None:
        """Install the signal handlers and start watching; call it in the main thread."""
        for number in _SIGNALS:
            # A handler makes the interpreter write the signal's number to the wake-up pipe, even
            # while the main thread is deep in a long call.
            signal.signal(number, _nothing)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, name="acp-lifeline", daemon=True).start()

    def on_end(self, stop_loop: Callable[[], None]) -> None:
        """Name the call that asks the event loop to stop; it is made in a thread of its own."""
        self._stop_loop = stop_loop
        if self._ending.is_set():
            _call_in_thread(stop_loop)

    def end(self, code: int = 0) -> None:
        """Begin to end the process, from any thread; only the first call counts."""
        if self._ending.is_set():
            return
        self._code = code
        self._ending.set()
        threading.Thread(target=self._end, name="acp-exit", daemon=True).start()

    @property
    def ending(self) -> bool:
        """Whether the process is about to exit."""
        return self._ending.is_set()

    def exit(self, code: int | None = None) -> NoReturn:
        """Exit now, without waiting for any thread."""
        try:
            _end_children(0.0)
        finally:
            os._exit(self._code if code is None else code)

    def _end(self) -> None:
        hard = threading.Timer(_GRACE_SECONDS, self.exit)
        hard.daemon = True
        hard.start()
        if self._stop_loop is not None:
            _call_in_thread(self._stop_loop)
        _end_children(_CHILD_GRACE_SECONDS)

    def _watch(self) -> None:
        watched = select.poll()
        watched.register(self._wake_read, select.POLLIN)
        # No event is asked for: a closed reader is reported all the same.
        watched.register(self._outgoing, 0)
        while not self._ending.is_set():
            for fd, flags in watched.poll(_POLL_MILLISECONDS):
                if fd == self._wake_read:
                    self._signalled(os.read(fd, 64))
                elif flags & (select.POLLERR | select.POLLHUP):
                    self.end()
            # PR_SET_PDEATHSIG would be no help: it fires when the thread that started us ends,
            # and an IDE starts us from a pool of threads.
            if os.getppid() != self._parent:
                self.end()

    def _signalled(self, numbers: bytes) -> None:
        for number in numbers:
            if number in _SIGNALS:
                self.end(128 + number)


def _nothing(*_: object) -> None:
    pass


def _call_in_thread(function: Callable[[], None]) -> None:
    threading.Thread(target=function, name="acp-stop", daemon=True).start()


def _end_children(grace: float) -> None:
    # Not imported means that no process was ever started.
    processes = sys.modules.get("punie.workspace.processes")
    if processes is not None:
        processes.end_all_process_groups(grace)
