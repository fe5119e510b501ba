"""The frame of a process that speaks the protocol on stdin and stdout, whatever answers in it."""

import contextlib
import sys
from collections.abc import Awaitable, Callable
from typing import NoReturn

import anyio
from anyio import from_thread, lowlevel

from punie.wire.lifeline import Lifeline
from punie.wire.stdio import ProtocolFiles, take_stdio

Serve = Callable[[ProtocolFiles, Lifeline], Awaitable[int]]
"""Serves one client to its end; returns the exit code."""


def run_on_stdio(serve: Serve, *, on_failure: Callable[[], None], close: Callable[[], None]) -> int:
    """Serve until stdin ends, a signal comes or the client dies; this ends the process.

    It returns only if there is no stdin or stdout. `on_failure` is called within the exception
    that ended `serve`, `close` at the end.
    """
    try:
        files = take_stdio()
    except OSError:
        print("punie acp speaks its protocol on stdin and stdout; one is closed.", file=sys.stderr)
    else:
        _serve_and_exit(serve, files, on_failure, close)
    return 2


def _serve_and_exit(
    serve: Serve, files: ProtocolFiles, on_failure: Callable[[], None], close: Callable[[], None]
) -> NoReturn:
    lifeline = Lifeline(files.outgoing)
    lifeline.start()
    code: int | None = None
    try:
        code = anyio.run(serve, files, lifeline) or None
    except BaseException:
        on_failure()
        code = None if lifeline.ending else 1
    lifeline.end()
    with contextlib.suppress(Exception):
        close()
    # Not a return: threads of the model or a blocked pipe would hold the interpreter back.
    lifeline.exit(code)


def stop_at_end(lifeline: Lifeline, stop: Callable[[], None]) -> None:
    """Have `stop` called in this event loop when the process is to end; call it in the loop."""
    loop = lowlevel.current_token()

    def stop_loop() -> None:
        with contextlib.suppress(RuntimeError):
            from_thread.run_sync(stop, token=loop)

    lifeline.on_end(stop_loop)
