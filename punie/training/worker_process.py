"""How a step that works in a process of its own talks with the process that started it.

The first line of the worker's stdin says what to do; when stdin ends, whoever started it is gone,
and it saves and leaves. Each line on its stdout is a JSON object: progress, or how it ended.
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel

from punie.models.catalog import ModelUnavailable
from punie.training.errors import TrainingError
from punie.training.output import is_disk_full
from punie.training.progress import Interrupted, Progress, Reporter, Stopped, stop_on_signals

_SECONDS_BETWEEN = 0.2
_LOOK_SECONDS = 0.2


class Reply(BaseModel):
    """One line of a worker: its progress, or how it ended."""

    progress: dict[str, Any] | None = None
    ended: str | None = None
    """"done", "interrupted" or "failed"."""
    sentence: str = ""
    disk_full: bool = False
    """Whether it failed at that, as any other step would."""


Answer = Callable[[Reply], None]
"""Tells the process that started a worker something."""


def work(do: Callable[[bytes, Answer, Stopped], None]) -> int:
    """Let `do` what the first line of stdin says, and tell how it ended; return the exit code."""
    answer = _channel()
    order = sys.stdin.buffer.readline()
    gone = threading.Event()
    threading.Thread(target=_watch, args=(gone,), daemon=True).start()
    try:
        with stop_on_signals() as asked:
            do(order, answer, lambda: asked() or gone.is_set())
    except Interrupted as error:
        answer(Reply(ended="interrupted", sentence=str(error)))
        return 1
    except (TrainingError, ModelUnavailable) as error:
        full = is_disk_full(error)
        answer(Reply(ended="failed", sentence=str(error), disk_full=full))
        return 1
    answer(Reply(ended="done"))
    return 0


def leave_after(main: Callable[[], int]) -> None:
    """End this process with what `main` returns, or with 1 and a traceback if it fails."""
    try:
        code = main()
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    # Not a return: see `punie.cli.main`, a thread of MLX may outlive the interpreter.
    os._exit(code)


def passed_on(answer: Answer) -> Reporter:
    """Return what passes progress on, at most so often that it can be read."""
    said, doing = 0.0, ""

    def report(progress: Progress) -> None:
        nonlocal said, doing
        now = time.monotonic()
        over = progress.total is not None and progress.done >= progress.total
        if progress.doing == doing and now - said < _SECONDS_BETWEEN and not over:
            return
        said, doing = now, progress.doing
        answer(Reply(progress={**asdict(progress), "metrics": dict(progress.metrics)}))

    return report


def _channel() -> Answer:
    """Return what writes to who started us; whatever else is printed goes to stderr."""
    own = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(reply: Reply) -> None:
        # Who is gone hears nothing; the end of stdin tells us.
        with suppress(OSError, ValueError):
            own.write(json.dumps(reply.model_dump(exclude_defaults=True)) + "\n")
            own.flush()

    return answer


def _watch(gone: threading.Event) -> None:
    # Not by way of `sys.stdin`, whose lock would be held when the interpreter ends.
    while os.read(0, 1):
        pass
    gone.set()


def follow(
    process: "subprocess.Popen[bytes]",
    order: BaseModel,
    take: Callable[[Reply], None],
    stopped: Stopped,
    idle: Callable[[], None] = lambda: None,
) -> Reply | None:
    """Give a worker its order and pass on what it reports until it ends.

    Returns its last word, if it had one; the process is gone then. `idle` is called now and then.
    """
    try:
        return _followed(process, order, take, stopped, idle)
    finally:
        # Our end of its stdin closes: if it still runs, it saves and leaves.
        if process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _followed(
    process: "subprocess.Popen[bytes]",
    order: BaseModel,
    take: Callable[[Reply], None],
    stopped: Stopped,
    idle: Callable[[], None],
) -> Reply | None:
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError):
        process.stdin.write(order.model_dump_json().encode() + b"\n")
        process.stdin.flush()
    last: Reply | None = None
    rest = b""
    asked = False
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not asked and stopped():
                asked = True
                process.send_signal(signal.SIGTERM)
            if not selector.select(_LOOK_SECONDS):
                idle()
                continue
            data = os.read(process.stdout.fileno(), 1 << 16)
            if not data:
                return last
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                reply = Reply.model_validate(json.loads(line))
                if reply.progress is not None:
                    take(reply)
                else:
                    last = reply


def how_it_ended(code: int) -> str:
    """Say how a process ended that had no last word, as "was killed (SIGSEGV)"."""
    if code >= 0:
        return f"ended with code {code}"
    killed = f"was killed ({signal.Signals(-code).name})"
    return (
        f"{killed}, as the system does when memory runs out" if code == -signal.SIGKILL else killed
    )
