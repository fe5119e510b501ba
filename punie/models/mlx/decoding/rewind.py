"""Taking back tokens that a cache has read, for drafts that turned out wrong."""

from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import ArraysCache, can_trim_prompt_cache

CacheMark = list[list[mx.array | None] | None]
"""The states of the layers that cannot be trimmed; None for the others."""


def can_rewind(layers: list[Any]) -> bool:
    """Tell whether tokens that this cache reads can be taken back."""
    return all(isinstance(layer, ArraysCache) or layer.is_trimmable() for layer in layers)


def mark(layers: list[Any]) -> CacheMark:
    """Remember where a cache stands; costs nothing, states are replaced and never changed."""
    return [list(layer.cache) if isinstance(layer, ArraysCache) else None for layer in layers]


def rewind(layers: list[Any], before: CacheMark, read: int, keep: int) -> int:
    """Go back from `read` tokens behind a mark to `keep` of them; return how many are kept.

    A recurrent state can only go back to the mark itself: then none is kept, and the caller lets
    the model read the tokens again.
    """
    if not can_trim_prompt_cache(layers):
        keep = 0
    for layer, states in zip(layers, before, strict=True):
        if states is None:
            layer.trim(read - keep)
        else:
            layer.cache = list(states)
    return keep
