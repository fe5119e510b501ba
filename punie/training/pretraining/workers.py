"""The threads of a training run: the halves of each batch are computed side by side, and summed."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import mlx.core as mx

from punie.training.distilling.teaching import Teaching
from punie.training.pretraining.batches import Batch
from punie.training.pretraining.network import (
    Parameters,
    answer_loss,
    causal_mask,
    taught_loss,
)
from punie.training.pretraining.optimizer import Rates, State, updated
from punie.training.pretraining.tiny_architecture import TinyShape

_PARTS = 2


class _Worker:
    """One thread with a stream of its own: what it computes runs beside the other worker.

    Each half is evaluated from its own thread, because one thread that feeds two streams keeps
    only a few operations ahead, and one stream then waits for the other.
    """

    def __init__(self, shape: TinyShape, rates: Rates, teaching: Teaching | None) -> None:
        self._shape = shape
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="punie-training")
        self._stream = self._thread.submit(mx.new_stream, mx.Device(mx.cpu)).result()
        loss: Any = partial(answer_loss, shape=shape)
        if teaching is not None:
            weight, temperature = teaching.weight, teaching.temperature
            loss = partial(taught_loss, shape=shape, weight=weight, temperature=temperature)
        self._gradient = mx.compile(mx.value_and_grad(loss))
        self._update = mx.compile(partial(updated, rates=rates))

    def gradient(self, parameters: Parameters, batch: Batch, learned: float) -> "Future[_Half]":
        return self._thread.submit(self._gradient_now, parameters, batch, learned)

    def update(
        self,
        names: Sequence[str],
        parameters: Parameters,
        gradients: Sequence[Parameters],
        state: State,
        scale: float,
        step: int,
    ) -> "Future[tuple[Parameters, State]]":
        return self._thread.submit(
            self._update_now, names, parameters, gradients, state, scale, step
        )

    def close(self) -> None:
        """End the stream in the thread that made it, then the thread."""
        self._thread.submit(mx.clear_streams).result()
        self._thread.shutdown()

    def _gradient_now(self, parameters: Parameters, batch: Batch, learned: float) -> "_Half":
        with mx.stream(self._stream):
            mask = causal_mask(*batch.tokens.shape, self._shape)
            tokens = mx.array(batch.tokens)
            arrays: list[Any] = [batch.positions, batch.targets, batch.weights / learned]
            if (taught := batch.taught) is not None:
                arrays += [taught.ids, taught.log_probabilities, taught.known]
            (loss, right), gradient = self._gradient(
                parameters, tokens, mask, *(mx.array(array) for array in arrays)
            )
            mx.eval(loss, right, gradient)
            return _Half(_number(loss), _number(right) / learned, gradient)

    def _update_now(
        self,
        names: Sequence[str],
        parameters: Parameters,
        gradients: Sequence[Parameters],
        state: State,
        scale: float,
        step: int,
    ) -> tuple[Parameters, State]:
        own = set(names)
        with mx.stream(self._stream):
            result: tuple[Parameters, State] = self._update(
                {name: parameters[name] for name in names},
                [{name: gradient[name] for name in names} for gradient in gradients],
                {name: moment for name, moment in state.items() if name.split(".", 1)[1] in own},
                mx.array(scale),
                mx.array(float(step)),
            )
            mx.eval(result)
            return result


@dataclass(frozen=True)
class _Half:
    """What one worker found on its share of a batch."""

    loss: float
    right: float
    gradient: Parameters


class Workers:
    """The workers of a run; they share the halves of every batch and of every update.

    The halves of an update are always the same, in the same order, so that neither the number of
    workers nor a checkpoint in between changes a sum.
    """

    def __init__(
        self,
        shape: TinyShape,
        rates: Rates,
        count: int,
        names: Sequence[str],
        teaching: Teaching | None = None,
    ) -> None:
        self._workers = [_Worker(shape, rates, teaching) for _ in range(count)]
        self._parts = [
            sorted(name for name in names if _part(name, shape.layers) == part)
            for part in range(_PARTS)
        ]

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.close()

    def step(
        self,
        parameters: Parameters,
        state: State,
        batches: Sequence[Batch],
        scale: float,
        number: int,
    ) -> tuple[Parameters, State, float, float]:
        """One optimiser step on the sum of some batches.

        Returns:
            New weights and moments, the mean loss and the share of right guesses per learned
            token.
        """
        learned = max(1.0, float(sum(batch.weights.sum() for batch in batches)))
        # Fewer workers than batches take turns: how many there are does not change a sum.
        asked = [
            self._workers[number % len(self._workers)].gradient(parameters, batch, learned)
            for number, batch in enumerate(batches)
        ]
        found = [future.result() for future in asked]
        gradients = [half.gradient for half in found]
        waiting = [
            self._workers[part % len(self._workers)].update(
                names, parameters, gradients, state, scale, number
            )
            for part, names in enumerate(self._parts)
        ]
        new: Parameters = {}
        moments: State = {}
        for future in waiting:
            weights, own = future.result()
            new |= weights
            moments |= own
        return new, moments, sum(half.loss for half in found), sum(half.right for half in found)


def _number(array: mx.array) -> float:
    value = array.item()
    assert isinstance(value, (int, float))
    return float(value)


def _part(name: str, layers: int) -> int:
    """In which half of an update a weight is: the blocks are dealt out evenly."""
    layer = int(name.split(".")[2]) if ".layers." in name else 0
    return layer * _PARTS // layers
