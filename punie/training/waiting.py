"""Waiting for what only one process at a time may do, such as training on a machine."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

from punie.models.made import data_folder
from punie.training.errors import TrainingError
from punie.training.output import written_in_words
from punie.training.progress import Interrupted, Progress, Reporter, Stopped

_SECONDS_BETWEEN = 0.2


@contextmanager
def held(
    lock: Callable[[], AbstractContextManager[object]],
    what: Callable[[], str],
    report: Reporter,
    stopped: Stopped,
) -> Iterator[None]:
    """Hold a lock, if need be after whoever has it.

    Args:
        lock: enters it, or raises `BlockingIOError` while another process has it.
        what: says who that is, for the progress: "another pipeline".
        report: told that this one waits.
        stopped: asked while it waits.

    Raises:
        Interrupted: `stopped()` before it was free.
    """
    with ExitStack() as holding:
        while True:
            try:
                holding.enter_context(lock())
            except BlockingIOError:
                if stopped():
                    raise Interrupted(f"Stopped while it waited for {what()}.") from None
                report(Progress(f"waiting for {what()}", 0, None, "", waits=True))
                time.sleep(_SECONDS_BETWEEN)
            else:
                break
        yield


def whole_machine(report: Reporter, stopped: Stopped) -> AbstractContextManager[None]:
    """Be, inside, the only process of this user that trains or converts a model.

    Two would want the same memory. And on two cores each ran 9 to 60 times slower than alone: the
    threads of a matrix product spin while they wait for each other.

    Raises:
        Interrupted: `stopped()` while another one ran.
        TrainingError: there is no room or no permission to write.
    """
    return held(_lock, _who, report, stopped)


@contextmanager
def locked(file: Path, *, wait: bool, folder_mode: int = 0o777) -> Iterator[int]:
    """Hold a file for this process alone, made if need be; yields its descriptor.

    The lock ends with the process, however that ends. `folder_mode` is of its folder if that has to
    be made too.

    Raises:
        BlockingIOError: another process has it and `wait` is False.
        TrainingError: there is no room or no permission to write.
    """
    try:
        file.parent.mkdir(folder_mode, parents=True, exist_ok=True)
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise TrainingError(written_in_words(error, file)) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield handle
    finally:
        os.close(handle)


@contextmanager
def _lock() -> Iterator[None]:
    with locked(_file(), wait=False) as handle:
        with suppress(OSError):  # only a word for those who wait
            os.truncate(handle, os.pwrite(handle, str(os.getpid()).encode(), 0))
        yield


def _who() -> str:
    pid = ""
    with suppress(OSError):
        pid = _file().read_text(encoding="utf-8")
    return f"{f'process {pid}' if pid else 'another process'}, which trains or converts a model"


def _file() -> Path:
    return data_folder() / "training.lock"
