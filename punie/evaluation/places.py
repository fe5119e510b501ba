"""Where the projects of a run lie: in folders whose names are the same in every run.

What a tool returns may hold the path of the project. If that was another one each time, a model
would not read the same twice.
"""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from punie.evaluation.errors import EvaluationError

_MOST_RUNS = 100


@contextmanager
def run_folder() -> Iterator[Path]:
    """Yield an empty folder, in memory where the system has a place for that, and remove it.

    It has the same name every time, but for runs that are under way at once. Raises
    `EvaluationError` if there is no room for one.
    """
    memory = Path("/dev/shm")
    place = memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
    for number in range(_MOST_RUNS):
        folder = place.resolve() / f"punie-evaluation-{os.getuid()}-{number}"
        held = _taken(folder)
        if held is None:
            continue
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(held)
        return
    raise EvaluationError(f"There is no place for projects in {place}; free it and start again.")


def _taken(folder: Path) -> int | None:
    """Take a folder for this run alone, without what a killed run left there.

    Returns what holds it, an open file descriptor, or None if it is somebody else's.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        mine, there = os.fstat(held), folder.lstat()
        # Whoever held it before may have removed it between our opening and our taking it.
        if mine.st_uid != os.getuid() or mine.st_ino != there.st_ino:
            raise PermissionError
        for left in folder.iterdir():
            _remove(left)
    except OSError:
        os.close(held)
        return None
    return held


def _remove(path: Path) -> None:
    if stat.S_ISDIR(path.lstat().st_mode):
        shutil.rmtree(path)
    else:
        path.unlink()


def attempt_folder(base: Path, *identity: object) -> Path:
    """Return the folder of an attempt, which has a short name made of what it is."""
    return base / sha256("\0".join(map(str, identity)).encode()).hexdigest()[:10]
