"""The caches that a following machine keeps for the one that leads."""

from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from punie.models.mlx.prefixes.layers import Layers, snapshot
from punie.models.mlx.sharding.ring import run_layers
from punie.models.sharding.wire import Message

_CLEAR_EVERY = 256


class Mirrors:
    """Its keys and values by the numbers that `ShardedModel` gives them."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._passes = 0
        self.layers: dict[int, Layers] = {}

    def feed(self, order: Message) -> None:
        """Make the pass that was ordered, after what has to be copied for it."""
        number, base, tokens = order["mirror"], order["base"], order["tokens"]
        if number not in self.layers:
            self.layers[number] = (
                make_prompt_cache(self._model) if base is None else self._copy(base, order["at"])
            )
        for gone in order["gone"]:
            del self.layers[gone]
        run_layers(self._model, mx.array([tokens]), self.layers[number])
        self._passes += 1
        if len(tokens) > 1 or self._passes % _CLEAR_EVERY == 0:
            mx.clear_cache()

    def _copy(self, base: int, length: int) -> Layers:
        layers = self.layers[base]
        return snapshot(layers, layers[0].offset, length)
