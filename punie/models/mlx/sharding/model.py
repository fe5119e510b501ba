"""A model whose passes are made on several machines at once, as the engine sees it.

The others keep the keys and values of their own parts. They are told which cache a pass goes on
with by a mirror's number: a mirror only ever grows, and a cache that was cut, or that went another
way than the one it was copied from, goes on with a copy of the mirror's beginning. So whatever the
prefix cache does with layers here needs no orders, as long as the mirror stays with them.
"""

import weakref
from pathlib import Path
from typing import Any

import mlx.core as mx

from punie.models.mlx.generation import EngineError
from punie.models.mlx.sharding.ring import join_ring, load_part, run_layers
from punie.models.sharding.hosts import CannotShare
from punie.models.sharding.machines import Machines


class Mirror:
    """What the other machines hold of a cache: `length` tokens under a `number`."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.length = 0


class ShardedModel:
    """The model with its other parts; a pass returns when all machines have made it."""

    def __init__(self, model: Any, machines: Machines) -> None:
        self._model = model
        self._machines = machines
        self._last = 0
        self._gone: list[int] = []

    @classmethod
    def load(cls, directory: Path, machines: Machines) -> tuple["ShardedModel", dict[str, Any]]:
        """Join the ring and load this machine's part; raises `CannotShare`.

        There is one try: the others have begun and cannot be told to begin again.
        """
        if machines.lost.is_set():
            raise CannotShare(machines.trouble)
        try:
            machines.join()
            model, config = load_part(directory, join_ring(machines.ring, 0))
        except Exception as error:
            raise CannotShare(machines.give_up(str(error))) from error
        return cls(model, machines), config

    @property
    def layers(self) -> list[Any]:
        """The layers, for which a cache is made."""
        layers: list[Any] = self._model.layers
        return layers

    def __call__(self, inputs: mx.array, cache: list[Any]) -> mx.array:
        """Return logits (1, N, V), not computed yet; raise `EngineError` if a machine is gone."""
        first = cache[0]
        tokens: list[int] = inputs[0].tolist()  # type: ignore[assignment]
        mirror, base = self._mirror(first)
        order = {"do": "feed", "mirror": mirror.number, "at": first.offset, "tokens": tokens}
        gone, self._gone = self._gone, []
        try:
            self._machines.send({**order, "base": base, "gone": gone})
            hidden = run_layers(self._model, inputs, cache)
        except CannotShare as error:
            raise EngineError(str(error)) from error
        except Exception as error:
            raise EngineError(self._machines.give_up(str(error))) from error
        mirror.length = first.offset
        return self._head(hidden)

    def _mirror(self, layer: Any) -> tuple[Mirror, int | None]:
        """Return the mirror that a cache goes on in, and the number of one that it begins as."""
        before: Mirror | None = getattr(layer, "mirror", None)
        if before is not None and before.length == layer.offset:
            return before, None
        if before is None and layer.offset:
            raise EngineError("The keys and values of a prompt are on this machine only.")
        self._last += 1
        mirror = layer.mirror = Mirror(self._last)
        # A mirror that this replaces may go with the same order, which makes the copy first.
        weakref.finalize(mirror, self._gone_for_good, mirror.number).atexit = False
        return mirror, None if before is None else before.number

    def _gone_for_good(self, number: int) -> None:
        self._gone.append(number)

    def _head(self, hidden: mx.array) -> mx.array:
        model = self._model
        if hasattr(model, "lm_head"):
            logits: mx.array = model.lm_head(hidden)
        else:
            logits = model.model.embed_tokens.as_linear(hidden)
        return logits
