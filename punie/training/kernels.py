"""Faster compiled kernels and fewer page faults for training on a Linux CPU.

MLX compiles its fused element-wise kernels with whatever `g++` is on PATH, for a generic machine.
A wrapper of that name adds the flags of this machine. The C library gives big blocks back to the
kernel after each use, so every intermediate array is paged in anew; two limits switch that off.
"""

import ctypes
import hashlib
import os
import shutil
import sys
from pathlib import Path

import platformdirs

_FLAGS = (
    "-O3 -march=native -fopenmp-simd -fno-math-errno -fno-trapping-math -fno-signed-zeros"
    " -fassociative-math -freciprocal-math -ffinite-math-only"
)
"""What `-ffast-math` stands for, but not under that name.

With it gcc links start-up code that makes the thread which loads a kernel flush denormal numbers to
zero, and the threads that this one starts, but no other: results would depend on timing.
"""

# Numbers from glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8


def prefer_native_kernels(cache: Path | None = None) -> str:
    """Make this process compile MLX kernels for this very machine; call before any kernel runs.

    The kernels go to a folder of their own, so that no other program picks up code built with
    relaxed arithmetic. What they compute is the same in every process.

    Args:
        cache: where the wrapper and the kernels are kept; the user's cache folder when left out.

    Returns:
        One sentence that says what was done.
    """
    real = shutil.which("g++")
    if sys.platform != "linux" or real is None:
        return "kernels are built as MLX builds them"
    # Kernels that other flags have built stay apart.
    flags = hashlib.sha256(_FLAGS.encode()).hexdigest()[:8]
    folder = (cache or platformdirs.user_cache_path("punie")) / "kernels" / flags
    wrapper = folder / "bin" / "g++"
    if real == str(wrapper):
        return "kernels are built for this machine"
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    wrapper.parent.mkdir(parents=True, exist_ok=True)
    unfinished = wrapper.with_name(f"wrapper.{os.getpid()}")
    unfinished.write_text(f'#!/bin/sh\nexec "{real}" "$@" {_FLAGS}\n')
    unfinished.chmod(0o755)
    unfinished.replace(wrapper)
    os.environ["PATH"] = f"{wrapper.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    os.environ["TMPDIR"] = str(folder / "tmp")
    return f"kernels are built for this machine ({_FLAGS})"


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory in the process; False where there is no glibc."""
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    limits = (
        (_M_ARENA_MAX, 1),
        (_M_MMAP_THRESHOLD, 2**31 - 1),
        (_M_TRIM_THRESHOLD, 2**31 - 1),
        (_M_TOP_PAD, 256 * 2**20),
    )
    accepted = [mallopt(name, value) == 1 for name, value in limits]
    return all(accepted)
