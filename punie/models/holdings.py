"""Which models the Punie processes of a user hold in memory, so that none loads one too many.

Each model that a process holds has a file, which the process keeps locked: whatever way it ends,
the system drops the lock, and the next one who looks removes the file.
"""

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from punie.file_locks import is_held
from punie.models.catalog import ModelUnavailable


@dataclass(frozen=True)
class Holding:
    """A model in the memory of a process; `size` is that of its weights in bytes."""

    pid: int
    model: str
    size: int


class Holdings:
    """What this process holds and others do, in a folder of the user."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[Path, tuple[Path, int]] = {}
        self._mutex = threading.Lock()

    def claim(self, model: Path, size: int, limit: int, own: int = 0) -> None:
        """Note that this process is about to load a model.

        Raises `ModelUnavailable` if the models of others, `own` bytes of this process and this one
        are more than `limit` bytes. A folder that cannot be written is no hindrance.
        """
        with suppress(OSError), self._mutex, self._alone():
            if model in self._files:
                return
            others = list(self._others())
            if others and size + own + sum(each.size for each in others) > limit:
                largest = max(others, key=lambda each: each.size)
                raise ModelUnavailable(
                    f"There is no memory for the model in {model} beside the one that another "
                    f"Punie (process {largest.pid}) holds; set engine to shared in your settings, "
                    "so that all projects use one, or close the other project."
                )
            self._hold(model, size)

    def release(self, model: Path) -> None:
        """Note that this process holds a model no more; any thread may call it."""
        with self._mutex:
            held = self._files.pop(model, None)
            if held is not None:
                file, handle = held
                with suppress(OSError):
                    file.unlink()
                os.close(handle)

    def _hold(self, model: Path, size: int) -> None:
        file = self._folder / f"{os.getpid()}-{len(self._files)}-{os.urandom(4).hex()}.json"
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        content = {"pid": os.getpid(), "model": str(model), "size": size}
        os.write(handle, json.dumps(content).encode())
        self._files[model] = (file, handle)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _others(self) -> Iterator[Holding]:
        ours = {file for file, _ in self._files.values()}
        for file in self._folder.glob("*.json"):
            if file in ours:
                continue
            if not is_held(file):
                with suppress(OSError):
                    file.unlink()
                continue
            with suppress(OSError, ValueError, TypeError):
                yield Holding(**json.loads(file.read_bytes()))
