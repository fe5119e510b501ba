"""What a process that trains has to do before MLX is loaded."""

import os

from punie.models.blas import prefer_fast_blas
from punie.training.kernels import keep_freed_memory, prefer_native_kernels

_EXACT_THREADS = 2


def prepare_process(threads: int | None = None, *, exact: bool = False) -> list[str]:
    """Make this process compute as fast as it can; call it before anything imports `mlx.core`.

    `threads` is for each matrix product, as many as there are cores if left out. With `exact` equal
    inputs give equal bits with any number of cores: the threads are always as many. Does nothing
    where MLX brings what it needs, as on macOS. Returns what was done, in sentences for a log.
    """
    count = _EXACT_THREADS if exact else threads or os.cpu_count() or 1
    lines = [prefer_fast_blas(count).detail, prefer_native_kernels()]
    keep_freed_memory()
    return lines
