"""Layers of a key-value cache as values: what they hold, copies on write, and cutting them.

MLX arrays are values, but the layers of mlx-lm write into them with `keys[..., a:b, :] = new`,
which changes the handle they keep and, when nobody else has the buffer, the buffer itself. A
snapshot therefore gets handles of its own. They share the buffers and cost nothing; whoever
writes first copies the buffer it writes to, once.

All functions run on the thread that owns the arrays.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import mlx.core as mx
from mlx_lm.models.cache import (
    ArraysCache,
    CacheList,
    KVCache,
    QuantizedKVCache,
    RotatingKVCache,
)

Layers = list[Any]
"""The cache of a model, one object of mlx-lm for each layer; batches of one sequence only."""

LayerKind = Literal["keys", "quantised", "window", "state", "list"]

_SPARE = 1.25
"""A snapshot may keep buffers alive that are this much bigger than what it needs of them."""


class UnknownLayerError(ValueError):
    """A kind of layer that cannot be kept, or one that does not hold what it should."""


@dataclass(frozen=True)
class LayerState:
    """What one layer holds.

    `numbers` are its counters and sizes, `arrays` its tensors in a fixed order. Tensors of the
    kinds `keys` and `quantised` have tokens on their last axis but one and may be longer than
    the tokens held; those of `window` too, until the window is full. `mirror` goes wherever the
    tokens go: it names what other machines hold of them (`punie.models.mlx.sharding`).
    """

    kind: LayerKind
    numbers: dict[str, int]
    arrays: tuple[mx.array | None, ...]
    parts: tuple["LayerState", ...] = ()
    mirror: object = None

    @property
    def is_cuttable(self) -> bool:
        """Whether it can be cut after any token."""
        if self.kind == "list":
            return all(part.is_cuttable for part in self.parts)
        if self.kind == "window":
            return self.numbers["offset"] < self.numbers["size"]
        return self.kind != "state"

    @property
    def grows(self) -> bool:
        """Whether its tensors get longer with each token, for ever."""
        return self.kind in ("keys", "quantised")

    def tensors(self) -> Iterator[mx.array]:
        """Yield the tensors that are there."""
        yield from (array for array in self.arrays if array is not None)
        for part in self.parts:
            yield from part.tensors()


def read_layer(layer: Any) -> LayerState:
    """Return what a layer holds; raise `UnknownLayerError` for a kind that cannot be kept."""
    # Subclasses may hold more than their parents do.
    if type(layer) is KVCache:
        mirror = getattr(layer, "mirror", None)
        offset, both = {"offset": layer.offset}, (layer.keys, layer.values)
        return LayerState("keys", offset, both, mirror=mirror)
    if type(layer) is QuantizedKVCache:
        numbers = {"offset": layer.offset, "group": layer.group_size, "bits": layer.bits}
        arrays = () if layer.keys is None else (*layer.keys, *layer.values)
        return LayerState("quantised", numbers, tuple(arrays))
    if type(layer) is RotatingKVCache:
        numbers = {
            "offset": layer.offset,
            "size": layer.max_size,
            "keep": layer.keep,
            "index": layer._idx,
        }
        return LayerState("window", numbers, (layer.keys, layer.values))
    if type(layer) is ArraysCache:
        if layer.left_padding is not None or layer.lengths is not None:
            raise UnknownLayerError("A layer is part of a batch.")
        return LayerState("state", {}, tuple(layer.cache))
    if type(layer) is CacheList:
        return LayerState("list", {}, (), tuple(map(read_layer, layer.caches)))
    raise UnknownLayerError(f"A layer of the kind {type(layer).__name__} cannot be kept.")


def build_layer(state: LayerState) -> Any:
    """Return a layer that holds `state`."""
    numbers = state.numbers
    match state.kind:
        case "keys":
            layer: Any = KVCache()  # type: ignore[no-untyped-call]
            layer.keys, layer.values = state.arrays
            layer.offset = numbers["offset"]
            layer.mirror = state.mirror
        case "quantised":
            layer = QuantizedKVCache(numbers["group"], numbers["bits"])
            if state.arrays:
                half = len(state.arrays) // 2
                layer.keys, layer.values = state.arrays[:half], state.arrays[half:]
            layer.offset = numbers["offset"]
        case "window":
            layer = RotatingKVCache(numbers["size"], numbers["keep"])  # type: ignore[no-untyped-call]
            layer.keys, layer.values = state.arrays
            layer.offset, layer._idx = numbers["offset"], numbers["index"]
        case "state":
            layer = ArraysCache(len(state.arrays))
            layer.cache = list(state.arrays)
        case "list":
            layer = CacheList(*map(build_layer, state.parts))  # type: ignore[no-untyped-call]
    return layer


def is_cuttable(layers: Layers) -> bool:
    """Whether the layers can be cut after any token, as they are now."""
    return all(read_layer(layer).is_cuttable for layer in layers)


def stays_cuttable(layers: Layers) -> bool:
    """Whether the layers can be cut after any token, however many tokens they come to hold."""
    return all(leaf.grows for layer in layers for leaf in _leaves(read_layer(layer)))


def check(layers: Layers, held: int) -> None:
    """Raise `UnknownLayerError` unless all layers hold `held` tokens, where they count them."""
    for layer in layers:
        _check(read_layer(layer), held)


def _check(state: LayerState, held: int) -> None:
    offset = state.numbers.get("offset", held)
    if offset != held:
        raise UnknownLayerError(f"A layer holds {offset} tokens where {held} were expected.")
    for part in state.parts:
        _check(part, held)


def evaluate(layers: Layers) -> None:
    """Compute what is still to be computed, so that nothing but the arrays is kept."""
    mx.eval([tensor for layer in layers for tensor in read_layer(layer).tensors()])


def snapshot(layers: Layers, held: int, length: int) -> Layers:
    """Return layers that hold the first `length` of the `held` tokens, with handles of their own.

    Costs no memory. Raises `UnknownLayerError` if that many tokens cannot be cut out of them.
    """
    states = [first_tokens(read_layer(layer), held, length) for layer in layers]
    # Not evaluated, a view would hold the graph, and take its bytes when they have changed hands.
    mx.eval([tensor for state in states for tensor in state.tensors()])
    return [build_layer(state) for state in states]


def first_tokens(state: LayerState, held: int, length: int) -> LayerState:
    """Return the state after the first `length` of `held` tokens, as views not yet evaluated."""
    _check(state, held)
    if length != held and not state.is_cuttable:
        raise UnknownLayerError("A running state cannot be cut.")
    if state.kind == "list":
        parts = tuple(first_tokens(part, held, length) for part in state.parts)
        return replace(state, parts=parts)
    if state.kind == "state" or not state.is_cuttable:
        return replace(state, arrays=tuple(None if a is None else a[...] for a in state.arrays))
    numbers = {**state.numbers, "offset": length}
    if state.kind == "window":
        numbers["index"] = length
    arrays = tuple(None if a is None else a[..., :length, :] for a in state.arrays)
    return replace(state, numbers=numbers, arrays=arrays)


def cut(layers: Layers, held: int, length: int) -> None:
    """Make layers that hold `held` tokens hold only the first `length`, in place."""
    for layer in layers:
        if held > length and layer.trim(held - length) != held - length:
            raise UnknownLayerError("A running state cannot be cut.")


def compact(layers: Layers, needed: int, pinned: int) -> int:
    """Copy views out of much bigger buffers, layer by layer; return the bytes pinned then.

    `needed` and `pinned` are what the views show and what their buffers take, in bytes.
    """
    if pinned <= needed * _SPARE:
        return pinned
    for index, layer in enumerate(layers):
        state = read_layer(layer)
        layers[index] = build_layer(_contiguous(state))
        mx.eval(list(read_layer(layers[index]).tensors()))
    return needed


def _contiguous(state: LayerState) -> LayerState:
    arrays = tuple(None if a is None else mx.contiguous(a) for a in state.arrays)
    return replace(state, arrays=arrays, parts=tuple(map(_contiguous, state.parts)))


def growing_bytes(layers: Layers) -> int:
    """Bytes of the tensors that get longer with each token."""
    return sum(
        tensor.nbytes
        for layer in layers
        for state in _leaves(read_layer(layer))
        if state.grows
        for tensor in state.tensors()
    )


def fixed_bytes(layers: Layers) -> int:
    """Bytes of the other tensors: running states and windows."""
    total = sum(t.nbytes for layer in layers for t in read_layer(layer).tensors())
    return total - growing_bytes(layers)


def _leaves(state: LayerState) -> Iterator[LayerState]:
    if state.kind != "list":
        yield state
    for part in state.parts:
        yield from _leaves(part)


def share(layers: Layers, length: int, longer: Layers) -> Layers | None:
    """Return `layers` with their growing tensors as views of those of `longer`.

    `longer` has gone through the same first `length` tokens. None if the two are not alike, as
    when one of them has been quantised.
    """
    shared = [
        _share(read_layer(layer), length, read_layer(other))
        for layer, other in zip(layers, longer, strict=True)
    ]
    states = [state for state in shared if state is not None]
    if len(states) < len(layers):
        return None
    mx.eval([tensor for state in states for tensor in state.tensors()])
    return [build_layer(state) for state in states]


def _share(state: LayerState, length: int, longer: LayerState) -> LayerState | None:
    if state.kind != longer.kind or len(state.parts) != len(longer.parts):
        return None
    if state.kind == "list":
        pairs = zip(state.parts, longer.parts, strict=True)
        parts = [part for one, two in pairs if (part := _share(one, length, two)) is not None]
        return replace(state, parts=tuple(parts)) if len(parts) == len(state.parts) else None
    if not state.grows:
        return state
    cut_out = first_tokens(longer, longer.numbers["offset"], length)
    own = first_tokens(state, length, length)
    return cut_out if _shapes(cut_out) == _shapes(own) else None


def _shapes(state: LayerState) -> Sequence[object]:
    numbers = sorted(state.numbers.items())
    return [numbers, *((t.dtype, t.shape) for t in state.tensors())]
