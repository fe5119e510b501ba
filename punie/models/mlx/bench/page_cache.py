"""Whether the system still holds a model's weights in memory, and letting them go.

What a process has read stays in the system's page cache, so that the next start reads it from
memory. Linux lets a user drop the pages of a file; macOS does not.
"""

import ctypes
import mmap
import os
from collections.abc import Sequence
from pathlib import Path


def weight_files(directory: Path) -> list[Path]:
    """Return the files of a model that hold its weights."""
    return sorted(directory.glob("*.safetensors"))


def share_in_memory(files: Sequence[Path]) -> float:
    """Return what part of some files the system holds in memory, from 0 to 1.

    Raises `OSError` where it does not tell.
    """
    pages = held = 0
    for file in files:
        with file.open("rb") as opened:
            size = os.fstat(opened.fileno()).st_size
            if not size:
                continue
            # A private copy, since only of memory that could be written Python tells the address.
            with mmap.mmap(opened.fileno(), size, access=mmap.ACCESS_COPY) as mapped:
                found = _residency(mapped, size)
        pages += len(found)
        held += sum(page & 1 for page in found)
    return held / max(pages, 1)


def _residency(mapped: mmap.mmap, size: int) -> bytes:
    count = (size + mmap.PAGESIZE - 1) // mmap.PAGESIZE
    found = (ctypes.c_ubyte * count)()
    first = ctypes.c_char.from_buffer(mapped)
    try:
        mincore = ctypes.CDLL(None, use_errno=True).mincore
        address = ctypes.c_void_p(ctypes.addressof(first))
        if mincore(address, ctypes.c_size_t(size), found):
            raise OSError(ctypes.get_errno(), "the system does not tell what it holds in memory")
    finally:
        del first  # else the mapping cannot be closed
    return bytes(found)


def drop_from_memory(files: Sequence[Path]) -> bool:
    """Ask the system to let go of what it holds of some files; False where nobody can ask."""
    if not hasattr(os, "posix_fadvise"):
        return False
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
    return True
