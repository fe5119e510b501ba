"""Whether another process holds a file locked: a lock ends with its process, however that ends."""

import fcntl
import os
from pathlib import Path


def is_held(file: Path) -> bool:
    """Tell whether the file is locked for some process alone; one that is not there is not."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
