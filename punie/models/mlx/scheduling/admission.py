"""Whether a request fits into memory, before anything of it is computed.

Running out of memory on Metal ends the process, and on a Mac it can take the whole system along;
so what a request will need is estimated first (`punie.models.memory`), and what does not fit makes
room, packs its keys and values, waits for others, or is refused with a sentence.
"""

from dataclasses import dataclass

import mlx.core as mx
from mlx_lm.models.cache import KVCache, QuantizedKVCache

from punie.models.architecture import Architecture
from punie.models.machine import machine_memory
from punie.models.memory import (
    KvQuantization,
    cache_bytes,
    gigabytes,
    largest_context,
    working_bytes,
)
from punie.models.mlx.generation import EngineError
from punie.models.mlx.prefixes.cache import PrefixCache
from punie.models.mlx.prefixes.entry import Slot
from punie.models.mlx.prefixes.layers import Layers, compact
from punie.models.mlx.scheduling.prefill import SMALLEST_CHUNK
from punie.models.mlx.scheduling.sequence import TokenSequence

_RESPONSE_TOKENS = 4096
"""Room that is kept for a response that may be longer than that."""
_SHARE_OF_FREE = 0.9
_MARGIN = 32
"""This part of the limit is left for what no estimate counts, when a window is measured."""
_KV_BITS = 8
_LEAST_CACHE = 1 << 28
_MOST_FREE_BUFFERS = 2 << 30
_WIRED_ROOM = 2 << 30


@dataclass(frozen=True)
class DeviceLimits:
    """MLX's limits in bytes as they were before; None was not changed."""

    cache: int
    wired: int | None
    memory: int | None

    def restore(self) -> None:
        """Set them again."""
        mx.set_cache_limit(self.cache)
        if self.wired is not None:
            mx.set_wired_limit(self.wired)
        if self.memory is not None:
            mx.set_memory_limit(self.memory)


@dataclass(frozen=True)
class MemoryBudget:
    """What MLX may hold in this process, in bytes: weights, caches and working memory."""

    limit: int
    architecture: Architecture | None
    packs: bool = True
    """Whether keys and values may be quantised where memory is short."""

    @classmethod
    def of_machine(cls, architecture: Architecture | None, limit: int | None) -> "MemoryBudget":
        """Return the budget for a model that is loaded already; `limit` overrides the machine's.

        On Metal it is what the device recommends; elsewhere what is free now, less a reserve.
        """
        if limit is None:
            machine = machine_memory()
            if mx.metal.is_available():
                limit = int(mx.device_info()["max_recommended_working_set_size"])
            else:
                free = int(machine.available * _SHARE_OF_FREE)
                limit = min(machine.usable, mx.get_active_memory() + free)
        return cls(limit, architecture)

    def cache_bytes(self) -> int:
        """Return what keys and values of past prompts may take: half of what is left."""
        return max(_LEAST_CACHE, (self.limit - mx.get_active_memory()) // 2)

    def set_limits(self) -> "DeviceLimits":
        """Tell MLX how much to keep, now that the weights are loaded."""
        weights = mx.get_active_memory()
        cache = mx.set_cache_limit(min(_MOST_FREE_BUFFERS, max(_LEAST_CACHE, self.limit // 16)))
        if not mx.metal.is_available():
            return DeviceLimits(cache, None, None)
        # Wired memory is taken from everybody else: the weights and some room, not all there is.
        wired = mx.set_wired_limit(min(self.limit, weights + weights // 8 + _WIRED_ROOM))
        return DeviceLimits(cache, wired, mx.set_memory_limit(self.limit))

    def admit(
        self, sequence: TokenSequence, running: list[TokenSequence], prefixes: PrefixCache
    ) -> bool:
        """Make room for a sequence; False if it has to wait for running ones to end.

        Raises `EngineError` if it does not fit at all.
        """
        if self.architecture is None:
            return True
        tokens = self._tokens(sequence)
        promised = sum(self._outstanding(other) for other in running)

        def free() -> int:
            return self.limit - mx.get_active_memory() - promised

        def needed(kv: KvQuantization | None) -> int:
            return self._needed(sequence, tokens, kv, is_alone=not running and not len(prefixes))

        for kv in self._packings(sequence.layers):
            if needed(kv) > free():
                _own(sequence.slot, free())
                prefixes.shrink(max(0, prefixes.nbytes - (needed(kv) - free())))
                mx.clear_cache()
            if needed(kv) <= free():
                _pack(sequence, kv)
                sequence.reserved = self._cache(tokens, kv)
                return True
        if running:
            return False
        raise EngineError(
            f"This conversation has {sequence.prompt_length:,} tokens and needs about "
            f"{gigabytes(needed(kv))} of memory, and {gigabytes(max(0, free()))} are left beside "
            "the model; start a new session, close other programs or choose a smaller model."
        )

    def most_tokens(self, layers: Layers) -> int | None:
        """Return how long a conversation can get that is alone; None where that is not known.

        `layers` is an empty cache of the model, whose weights are loaded.
        """
        if self.architecture is None:
            return None
        held = mx.get_active_memory()
        budget = self.limit - self.limit // _MARGIN
        metal = mx.metal.is_available()
        return max(
            largest_context(
                self.architecture, held, budget, chunk=SMALLEST_CHUNK, kv=kv, metal=metal
            )
            for kv in self._packings(layers)
        )

    def is_exceeded(self) -> bool:
        """Tell whether MLX holds more than it may."""
        return self.excess() > 0

    def excess(self) -> int:
        """Return how many bytes MLX holds beyond what it may."""
        return max(0, mx.get_active_memory() - self.limit)

    def _tokens(self, sequence: TokenSequence) -> int:
        request = sequence.generation.request
        return sequence.prompt_length + min(request.max_tokens, _RESPONSE_TOKENS)

    def _needed(
        self, sequence: TokenSequence, tokens: int, kv: KvQuantization | None, *, is_alone: bool
    ) -> int:
        assert self.architecture is not None
        # Chunks shrink where memory is tight (`chunk_fits`), so the smallest one counts.
        working = working_bytes(
            self.architecture, tokens, SMALLEST_CHUNK, kv=kv, metal=mx.metal.is_available()
        )
        # What is shared is copied as soon as it is written to, unless the other holder is gone.
        held = 0 if sequence.slot.is_copy and not is_alone else sequence.slot.nbytes
        return max(0, self._cache(tokens, kv) - held) + working

    def _cache(self, tokens: int, kv: KvQuantization | None) -> int:
        assert self.architecture is not None
        return cache_bytes(self.architecture, tokens, kv)

    def _outstanding(self, sequence: TokenSequence) -> int:
        # Counted and not measured: in a batch the sequence has no arrays of its own.
        held = self._cache(len(sequence.slot.tokens), sequence.packing)
        return max(0, sequence.reserved - held)

    def _packings(self, layers: Layers) -> list[KvQuantization | None]:
        """Return how keys and values may be packed, the best way for the result first."""
        assert self.architecture is not None
        for layer in layers:
            if isinstance(layer, QuantizedKVCache):
                return [KvQuantization(layer.bits, layer.group_size)]
        group = next((size for size in (64, 32) if self.architecture.head_dim % size == 0), None)
        if not self.packs or group is None or any(type(layer) is not KVCache for layer in layers):
            return [None]
        return [None, KvQuantization(_KV_BITS, group)]

    def chunk_fits(self, sequence: TokenSequence, size: int) -> bool:
        """Tell whether there is memory for reading `size` tokens of a prompt at once."""
        if self.architecture is None:
            return True
        kv = sequence.packing
        metal = mx.metal.is_available()
        working = working_bytes(self.architecture, sequence.prompt_length, size, kv=kv, metal=metal)
        return working <= self.limit - mx.get_active_memory()


def _own(slot: Slot, free: int) -> None:
    """Copy what a slot shares, where that fits: as views it would keep the buffers of what goes."""
    if slot.is_copy and slot.nbytes <= free:
        compact(slot.layers, 0, slot.nbytes)
        slot.is_copy = False


def _pack(sequence: TokenSequence, kv: KvQuantization | None) -> None:
    """Quantise the keys and values that a sequence has, and all that come."""
    sequence.packing = kv
    if kv is None or any(isinstance(layer, QuantizedKVCache) for layer in sequence.layers):
        return
    sequence.slot.layers = [
        QuantizedKVCache(kv.group_size, kv.bits)
        if layer.empty()
        else layer.to_quantized(kv.group_size, kv.bits)
        for layer in sequence.layers
    ]
    mx.eval([layer.state for layer in sequence.layers if not layer.empty()])
