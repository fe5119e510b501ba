"""What a process that trains has to do before MLX is loaded."""

import os

from punie.models.blas import prefer_fast_blas
from punie.training.kernels import keep_freed_memory, prefer_native_kernels

_EXACT_THREADS = 2


def prepare_process(threads: int | None = None, *, exact: bool = False) -> list[str]:
    """Make this process compute as fast as it can; call it before anything imports `mlx.core`.

    `threads` is for each matrix product, as many as there are cores if left out. With `exact` equal
    inputs give equal bits, in every process and with any number of cores: the threads are always as
    many, and kernels are built as MLX builds them. Those for this very machine are faster, and
    what they give differs in the last bits from one process to the next. Does nothing where MLX
    brings what it needs, as on macOS. Returns what was done, in sentences for a log.
    """
    if exact:
        lines = [prefer_fast_blas(_EXACT_THREADS).detail]
    else:
        lines = [prefer_fast_blas(threads or os.cpu_count() or 1).detail, prefer_native_kernels()]
    keep_freed_memory()
    return lines
