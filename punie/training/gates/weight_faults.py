"""Whether weights are what rounding others should have made of them."""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx

from punie.models.architecture import Quantization

_FLOATING_ERROR = {"mxfp4": 0.2, "nvfp4": 0.2, "mxfp8": 0.08}
"""Largest distance of a layer's weights, relative to their size, in the floating-point modes."""
_ROUNDING = {mx.float32: 1e-5, mx.float16: 2e-3, mx.bfloat16: 1.6e-2}
"""Two units in the last place, relative: how much the same sum may differ between machines."""
_LEAST_LEVEL = 1e-7
"""MLX makes no finer levels."""
_SMALLEST_HALF = 6e-8
"""Steps of float16 near zero, where a scale cannot be any more exact."""
_SAME = 0.999
"""Least share of equal numbers, or of equal packed words where a sum is rounded to levels again."""


def packing_fault(
    weight: mx.array, parts: Sequence[mx.array | None], packing: Quantization
) -> str | None:
    """Say why packed weights are not those of `weight`; None if they are.

    `parts` are the packed numbers, the scales, and the offsets where the mode has them.
    """
    numbers, scales, biases = parts
    assert numbers is not None
    assert scales is not None
    unpacked = mx.dequantize(
        numbers,
        scales,
        biases,
        group_size=packing.group_size,
        bits=packing.bits,
        mode=packing.mode,
    ).astype(mx.float32)
    grouped = weight.astype(mx.float32).reshape(*weight.shape[:-1], -1, packing.group_size)
    apart = mx.abs(grouped - unpacked.reshape(grouped.shape))
    if packing.mode != "affine":
        relative = _number(mx.sqrt((apart**2).sum() / mx.maximum((grouped**2).sum(), 1e-20)))
        limit = _FLOATING_ERROR[packing.mode]
        return None if relative <= limit else f"is off by {relative:.0%} of its size"
    # A level is at most a level off, as MLX moves the levels so that the largest weight is exact;
    # besides, scale and offset are rounded to the type of the weights.
    levels = (grouped.max(-1) - grouped.min(-1)) / (2**packing.bits - 1)
    rounding = mx.abs(grouped).max(-1) * _ROUNDING[scales.dtype]
    if scales.dtype == mx.float16:
        rounding += _SMALLEST_HALF * 2**packing.bits
    worst = _number(((apart.max(-1) - rounding) / mx.maximum(levels, _LEAST_LEVEL)).max())
    # Written so that what is no number fails too.
    return None if worst <= 1.0 else f"has weights that are {worst:.1f} levels off"


def tensor_fault(wanted: mx.array, have: mx.array) -> str | None:
    """Say why a tensor is not the one that should be there; None if it is."""
    if not mx.issubdtype(wanted.dtype, mx.floating):
        share = _number((wanted == have).astype(mx.float32).mean())
        return None if share >= _SAME else f"is the same in {share:.1%} of its words only"
    one, other = wanted.astype(mx.float32), have.astype(mx.float32)
    apart, rounding = mx.abs(one - other), _ROUNDING[wanted.dtype]
    largest = mx.abs(one).max()
    worst = _number(apart.max())
    # Each number is compared by its own size: a slight adapter moves most of them by less than the
    # largest ones are rounded.
    near = apart <= rounding * mx.abs(one) + 1e-7 * largest
    share = _number(near.astype(mx.float32).mean())
    if share >= _SAME and worst <= rounding * _number(largest) + 1e-12:
        return None
    return f"is off in {1 - share:.1%} of its numbers, by up to {worst:.3g}"


def _number(value: mx.array) -> float:
    found: Any = value.item()
    return float(found)
