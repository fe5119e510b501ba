"""Allowed tokens, as a guide names them, applied to logits."""

import functools
from collections.abc import Callable
from typing import cast

import mlx.core as mx
import numpy as np

from punie.models.mlx.guidance.guide import TokenMask

_METAL_SOURCE = """
    uint token = thread_position_in_grid.x;
    uint row = thread_position_in_grid.y;
    uint size = logits_shape[1];
    uint words = mask_shape[1];
    uint word = token / 32;
    bool allowed = word < words && ((mask[row * words + word] >> (token % 32)) & 1);
    out[row * size + token] = allowed ? logits[row * size + token] : T(-INFINITY);
"""


def apply_mask(logits: mx.array, mask: TokenMask) -> mx.array:
    """Return `logits`, shape (rows, tokens), with minus infinity where a token is not allowed.

    `mask` has one row of words for each row of the logits, or one row for all of them. Tokens
    beyond its last word are not allowed. The words are copied: the caller may change them after.
    Raises ValueError if the numbers of rows differ.
    """
    rows, size = logits.shape
    words = np.broadcast_to(np.atleast_2d(mask), (rows, mask.shape[-1]))
    if mx.metal.is_available():
        return _apply_on_metal(logits, words)
    bits = np.unpackbits(
        np.ascontiguousarray(words).view(np.uint8), axis=1, count=size, bitorder="little"
    )
    return mx.where(mx.array(bits.view(np.bool_)), logits, mx.array(-np.inf, logits.dtype))


def _apply_on_metal(logits: mx.array, words: TokenMask) -> mx.array:
    rows, size = logits.shape
    return _metal_kernel()(
        inputs=[logits, mx.array(words)],
        template=[("T", logits.dtype)],
        grid=(size, rows, 1),
        threadgroup=(min(size, 256), 1, 1),
        output_shapes=[logits.shape],
        output_dtypes=[logits.dtype],
    )[0]


@functools.cache
def _metal_kernel() -> Callable[..., list[mx.array]]:
    kernel = mx.fast.metal_kernel(
        name="punie_apply_mask",
        input_names=["logits", "mask"],
        output_names=["out"],
        source=_METAL_SOURCE,
    )
    return cast(Callable[..., list[mx.array]], kernel)
