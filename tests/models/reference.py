"""A model, and what it answers when nothing was kept."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx_lm.models import cache as mlx_cache
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import load_model

from punie.models.mlx.prefixes.entry import Slot
from tests.models.families import FAMILIES, Family, FamilyDirectories

QuantizedKVCache: Any = mlx_cache.QuantizedKVCache
RotatingKVCache: Any = mlx_cache.RotatingKVCache

VARIANTS = (*FAMILIES, "quantised", "window")


def text(length: int, salt: int) -> list[int]:
    return [(index * salt + index // 7 + salt) % 250 for index in range(length)]


class Reference:
    """A model, and what it answers after a prompt that nothing was kept of."""

    def __init__(self, model: Any, make_layers: Callable[[], list[Any]]) -> None:
        self.model = model
        self.make_layers = make_layers
        self.fresh = functools.lru_cache(4096)(self._fresh)

    def feed(self, layers: list[Any], tokens: Sequence[int]) -> mx.array:
        # Only the last token's logits: with a published vocabulary they are most of the work.
        text_model = self.model.model
        hidden = text_model(mx.array([list(tokens)]), cache=layers)[0, -1]
        logits: mx.array = text_model.embed_tokens.as_linear(hidden)
        mx.eval(logits)
        return logits

    def _fresh(self, tokens: tuple[int, ...]) -> mx.array:
        return self.feed(self.make_layers(), tokens)

    def advance(self, slot: Slot, tokens: Sequence[int]) -> mx.array:
        """Feed tokens through the slot and compare what comes out with a fresh prefill."""
        logits = self.feed(slot.layers, tokens)
        slot.tokens.extend(tokens)
        expected = self.fresh(tuple(slot.tokens))
        assert mx.allclose(logits, expected, rtol=1e-3, atol=1e-3), slot.tokens
        return logits

    def slot(self, tokens: Sequence[int]) -> Slot:
        """A slot that holds `tokens`, prefilled from nothing."""
        slot = Slot([], self.make_layers())
        self.advance(slot, tokens)
        return slot


@functools.cache
def reference_of(directory: Path, variant: str) -> Reference:
    model, _ = load_model(directory)
    layers = len(make_prompt_cache(model))
    if variant == "quantised":
        return Reference(model, lambda: [QuantizedKVCache(32, 8) for _ in range(layers)])
    if variant == "window":
        return Reference(model, lambda: [RotatingKVCache(24, 0) for _ in range(layers)])
    return Reference(model, lambda: make_prompt_cache(model))


def load_reference(directories: FamilyDirectories, variant: str) -> Reference:
    family: Family = next((f for f in FAMILIES if f == variant), "qwen3")
    return reference_of(directories.own(family), variant)
