"""What a process that trains has to do before MLX is loaded."""

import os

from punie.models.blas import prefer_fast_blas
from punie.training.kernels import keep_freed_memory, prefer_native_kernels


def prepare_process(threads: int | None = None) -> list[str]:
    """Make this process compute as fast as it can; call it before anything imports `mlx.core`.

    `threads` is for each matrix product, as many as there are cores if left out. Does nothing
    where MLX brings what it needs, as on macOS. Returns what was done, in sentences for a log.
    """
    lines = [prefer_fast_blas(threads or os.cpu_count() or 1).detail, prefer_native_kernels()]
    keep_freed_memory()
    return lines
