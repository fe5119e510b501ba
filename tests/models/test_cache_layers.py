from collections.abc import Callable
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models import cache

from punie.models.mlx.prefixes.layers import (
    UnknownLayerError,
    build_layer,
    check,
    compact,
    cut,
    fixed_bytes,
    growing_bytes,
    is_cuttable,
    read_layer,
    share,
    snapshot,
    stays_cuttable,
)
from tests.models.held_memory import held_memory

HEADS, DIM = 2, 64

# Their constructors are not typed.
ArraysCache: Any = cache.ArraysCache
BatchKVCache: Any = cache.BatchKVCache
CacheList: Any = cache.CacheList
KVCache: Any = cache.KVCache
QuantizedKVCache: Any = cache.QuantizedKVCache
RotatingKVCache: Any = cache.RotatingKVCache


def rows(start: int, count: int) -> mx.array:
    """Keys of tokens `start`... that tell which token, head and column they are of."""
    token = mx.arange(start, start + count)[None, None, :, None]
    head = mx.arange(HEADS)[None, :, None, None]
    column = mx.arange(DIM)[None, None, None, :]
    return (token * 8 + head + column / 64).astype(mx.float32)


def write(layer: Any, start: int, count: int, sign: float = 1.0) -> None:
    """Append `count` tokens as a model does; `sign` makes two futures different."""
    if isinstance(layer, CacheList):
        for part in layer.caches:
            write(part, start, count, sign)
    elif isinstance(layer, ArraysCache):
        layer[0] = rows(start + count, 3) * sign
        layer[1] = rows(start + count, 1) * sign
        mx.eval(layer.cache)
    else:
        mx.eval(layer.update_and_fetch(rows(start, count) * sign, rows(start, count) * -sign))


def content(layer: Any) -> list[mx.array]:
    """What a model would read from the layer next, as copies."""
    if isinstance(layer, CacheList):
        return [array for part in layer.caches for array in content(part)]
    if isinstance(layer, ArraysCache):
        arrays = layer.cache
    elif isinstance(layer, RotatingKVCache):
        arrays = [layer._temporal_order(array) for array in (layer.keys, layer.values)]
    else:
        both = [layer.keys, layer.values]
        if isinstance(layer, QuantizedKVCache):
            both = [*layer.keys, *layer.values]
        arrays = [array[..., : layer.offset, :] for array in both]
    copies = [mx.array(array) for array in arrays]
    mx.eval(copies)
    return copies


def same(left: list[mx.array], right: list[mx.array]) -> bool:
    return len(left) == len(right) and all(
        a.shape == b.shape and bool(mx.array_equal(a, b)) for a, b in zip(left, right, strict=True)
    )


MAKERS: dict[str, Callable[[], Any]] = {
    "keys": KVCache,
    "quantised": lambda: QuantizedKVCache(32, 8),
    "window": lambda: RotatingKVCache(48, 0),
    "window with sink": lambda: RotatingKVCache(48, 4),
    "state": lambda: ArraysCache(2),
    "list": lambda: CacheList(KVCache(), RotatingKVCache(400, 0)),
}


@pytest.mark.parametrize("held", [1, 20, 47, 48, 49, 256, 300])
@pytest.mark.parametrize("name", MAKERS)
def test_neither_side_sees_what_the_other_writes(name: str, held: int) -> None:
    layer = MAKERS[name]()
    write(layer, 0, held)
    before = content(layer)
    memory = held_memory()
    (taken,) = snapshot([layer], held, held)
    assert mx.get_active_memory() == memory
    assert same(content(taken), before)

    # Token by token and many at once are different ways of writing in mlx-lm.
    for count in (1, 1, 30, 1):
        reference = MAKERS[name]()
        write(reference, 0, held)
        write(reference, held, count)
        write(layer, held, count)
        assert same(content(taken), before)
        (other,) = snapshot([taken], held, held)
        write(other, held, count, -1.0)
        assert same(content(taken), before)
        assert not same(content(layer), content(other))
        (layer,) = snapshot([taken], held, held)
        write(layer, held, count)
        assert same(content(layer), content(reference))


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "state"])
def test_a_snapshot_may_hold_less(name: str) -> None:
    layer = MAKERS[name]()
    write(layer, 0, 40)
    assert is_cuttable([layer])
    (shorter,) = snapshot([layer], 40, 17)
    reference = MAKERS[name]()
    write(reference, 0, 17)
    assert same(content(shorter), content(reference))
    write(shorter, 17, 1, -1.0)
    write(reference, 17, 1, -1.0)
    write(layer, 40, 1)
    assert same(content(shorter), content(reference))
    cut([layer], 41, 17)
    write(layer, 17, 1, -1.0)
    assert same(content(layer), content(reference))


@pytest.mark.parametrize(("name", "held"), [("state", 40), ("window", 60)])
def test_a_running_state_is_usable_only_whole(name: str, held: int) -> None:
    layer = MAKERS[name]()
    write(layer, 0, held)
    assert not is_cuttable([layer])
    with pytest.raises(UnknownLayerError, match="cannot be cut"):
        snapshot([layer], held, held - 1)


def test_what_stays_cuttable() -> None:
    assert stays_cuttable([KVCache(), QuantizedKVCache()])
    assert not stays_cuttable([KVCache(), RotatingKVCache(8)])
    assert not stays_cuttable([CacheList(KVCache(), ArraysCache(1))])


def test_the_first_write_after_a_snapshot_copies_once() -> None:
    layer = KVCache()
    write(layer, 0, 300)
    buffers = growing_bytes([layer])
    (taken,) = snapshot([layer], 300, 300)
    memory = held_memory()
    write(layer, 300, 1)
    assert mx.get_active_memory() - memory == buffers
    write(layer, 301, 1)
    assert mx.get_active_memory() - memory == buffers
    del taken
    assert mx.get_active_memory() == memory


def test_a_short_view_of_a_big_buffer_is_copied_out_of_it() -> None:
    layer = KVCache()
    write(layer, 0, 2000)
    taken = snapshot([layer], 2000, 100)
    needed, pinned = growing_bytes(taken), growing_bytes([layer])
    assert pinned > 10 * needed
    assert compact(taken, needed, pinned) == needed
    before = held_memory()
    del layer
    assert before - mx.get_active_memory() == pinned
    reference = KVCache()
    write(reference, 0, 100)
    assert same(content(taken[0]), content(reference))


def test_a_beginning_uses_the_buffers_of_what_goes_on_from_it() -> None:
    longer = [ArraysCache(2), KVCache()]
    for layer in longer:
        write(layer, 0, 300)
    beginning = snapshot(longer, 300, 300)
    for layer in longer:
        write(layer, 300, 40)
    expected = [content(layer) for layer in beginning]
    memory = held_memory()
    shared = share(beginning, 300, longer)
    del beginning
    assert shared is not None
    assert memory - mx.get_active_memory() == growing_bytes([longer[1]])
    assert all(same(content(a), b) for a, b in zip(shared, expected, strict=True))
    for layer in longer:
        write(layer, 340, 1, -1.0)
    assert all(same(content(a), b) for a, b in zip(shared, expected, strict=True))
    assert fixed_bytes(shared) == fixed_bytes(longer)


def test_unlike_layers_do_not_share() -> None:
    plain, quantised = KVCache(), QuantizedKVCache(32, 8)
    for layer in (plain, quantised):
        write(layer, 0, 10)
    assert share([plain], 10, [quantised]) is None
    other_bits = QuantizedKVCache(32, 4)
    write(other_bits, 0, 12)
    assert share([quantised], 10, [other_bits]) is None


def test_counts_are_checked() -> None:
    layer = KVCache()
    write(layer, 0, 10)
    check([layer, ArraysCache(1)], 10)
    for wrong in (9, 11):
        with pytest.raises(UnknownLayerError, match="holds 10 tokens"):
            check([CacheList(layer)], wrong)
        with pytest.raises(UnknownLayerError, match="holds 10 tokens"):
            snapshot([layer], wrong, 5)


def test_what_cannot_be_kept_is_refused() -> None:
    with pytest.raises(UnknownLayerError, match="BatchKVCache"):
        check([BatchKVCache([0, 0])], 0)
    with pytest.raises(UnknownLayerError, match="batch"):
        check([ArraysCache(1, left_padding=[2])], 0)


@pytest.mark.parametrize("name", MAKERS)
def test_an_empty_layer_can_be_read_and_built(name: str) -> None:
    layer = build_layer(read_layer(MAKERS[name]()))
    write(layer, 0, 3)
    reference = MAKERS[name]()
    write(reference, 0, 3)
    assert same(content(layer), content(reference))
