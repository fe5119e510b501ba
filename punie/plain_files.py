"""Reading files whose names a project chooses, where there may be anything under the name.

A link in a repository may lead to a device without an end, or to this process's own input, and an
unpacked archive may hold a pipe: reading such a thing waits for ever or fills the memory.
"""

import errno
import os
import stat
from pathlib import Path

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class NotPlainError(OSError):
    """There is something else than a file under the name, or a file that is too large."""


def read_plain(path: Path | str, limit: int, *, cut: bool = False) -> bytes:
    """Return the bytes of a file, links followed; with `cut` no more than its first `limit`.

    Raises `NotPlainError` for what is no file and for a larger one, and `OSError`.
    """
    # Before it is opened, too: to open a device may do something.
    _refuse(os.stat(path))  # noqa: PTH116, a text is taken too
    descriptor = os.open(path, _FLAGS)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        _refuse(found)
        # It may grow meanwhile, so that its size alone would not do.
        data = b"" if found.st_size > limit and not cut else file.read(limit + 1)
    if not cut and max(found.st_size, len(data)) > limit:
        raise NotPlainError(errno.EFBIG, f"it is larger than {limit} bytes")
    return data[:limit]


def _refuse(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise NotPlainError(errno.EINVAL, "it is no file")
