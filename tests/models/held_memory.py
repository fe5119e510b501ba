"""How much MLX holds, measured so that it does not depend on the tests before."""

import gc

import mlx.core as mx


def held_memory() -> int:
    """Return the bytes that MLX holds, without what reference cycles of earlier tests kept."""
    gc.collect()
    mx.clear_cache()
    return mx.get_active_memory()
