"""Running a model of which one layer is in memory at a time.

Comparing a model with what it was made of needs both, and the one in full precision is often
bigger than the memory. So all examples go through the first layer, whose weights are then dropped,
then through the second, and so on. Packed weights are unpacked for it: a product with unpacked
ones is the same but for rounding, and much faster on a CPU.

A model can be run so once, because its weights are gone afterwards.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import mlx.core as mx
from mlx.utils import tree_map

from punie.training.data.sequences import TrainingSequence
from punie.training.errors import TrainingError
from punie.training.progress import Interrupted, Progress, Reporter, Stopped, never, quiet

_BATCH_TOKENS = 4096
"""Tokens that go through a layer at once."""


@dataclass(frozen=True)
class LastStates:
    """What a model made of sequences, just before it scores its vocabulary.

    Attributes:
        states: shape (places, hidden): a row for each token that is learned, of the place before.
        targets: shape (places,): the ids of those tokens.
        score: gives the logits, shape (rows, vocabulary), in float32, of some rows of states.
    """

    states: mx.array
    targets: mx.array
    score: Callable[[mx.array], mx.array]


def last_states(
    model: Any,
    sequences: Sequence[TrainingSequence],
    doing: str,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> LastStates:
    """Run a lazily loaded model once over all sequences and drop its layers on the way.

    `doing` names the work for `report`.

    Raises:
        Interrupted: it was asked to stop.
        TrainingError: nothing is learned in the sequences, or the model is none of layers.
    """
    from mlx_lm.utils import dequantize_model

    ordered = sorted(
        (each for each in sequences if any(each.learned[1:])), key=lambda each: len(each.ids)
    )
    if not ordered:
        raise TrainingError("None of the examples has an answer that could be compared.")
    owner, inner = _parts(dequantize_model(model))
    lengths = [len(each.ids) for each in ordered]
    rows = [each.ids + [0] * (lengths[-1] - len(each.ids)) for each in ordered]
    count = len(inner.layers)

    def passed(number: int) -> None:
        report(Progress(doing, number, count, "layers"))
        if stopped():
            raise Interrupted("Stopped while models were compared; the same command does it again.")

    groups = _groups(lengths)
    inner.layers = [
        _Passing(layer, groups, partial(passed, number))
        for number, layer in enumerate(inner.layers, 1)
    ]
    hidden = inner(mx.array(rows))
    places = [
        (row, place - 1)
        for row, each in enumerate(ordered)
        for place in range(1, len(each.ids))
        if each.learned[place]
    ]
    states = hidden[mx.array([row for row, _ in places]), mx.array([place for _, place in places])]
    targets = mx.array([ordered[row].ids[place + 1] for row, place in places])
    mx.eval(states, targets)
    given = _Given(inner.embed_tokens)
    owner.model = given

    def score(some: mx.array) -> mx.array:
        given.states = some[None]
        found: mx.array = owner(mx.zeros((1, some.shape[0]), dtype=mx.int32))[0]
        return found.astype(mx.float32)

    return LastStates(states, targets, score)


class _Passing:
    """A layer that runs a batch in parts, evaluates them, and drops its weights."""

    def __init__(
        self, layer: Any, groups: Sequence[tuple[int, int, int]], passed: Callable[[], None]
    ) -> None:
        self._layer = layer
        self._groups = groups
        self._passed = passed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)

    def __call__(self, x: mx.array, *given: Any, **named: Any) -> mx.array:
        parts = []
        for start, end, length in self._groups:
            part = self._layer(
                x[start:end, :length],
                *(_cut(each, length) for each in given),
                **{name: _cut(each, length) for name, each in named.items()},
            )
            part = mx.pad(part, [(0, 0), (0, x.shape[1] - length), (0, 0)])
            mx.eval(part)
            parts.append(part)
        self._layer.update(tree_map(lambda _: mx.array([]), self._layer.parameters()))
        mx.clear_cache()
        self._passed()
        return mx.concatenate(parts)


class _Given:
    """Stands for all of a model but its head: hands over states that are there already."""

    def __init__(self, embed_tokens: Any) -> None:
        self.embed_tokens = embed_tokens
        self.states: mx.array | None = None

    def __call__(self, *_: Any, **__: Any) -> mx.array:
        assert self.states is not None
        return self.states


def _parts(model: Any) -> tuple[Any, Any]:
    """Return what has the head, and in it what has the layers."""
    for owner in (model, getattr(model, "language_model", None)):
        inner = getattr(owner, "model", None)
        if isinstance(getattr(inner, "layers", None), list) and hasattr(inner, "embed_tokens"):
            return owner, inner
    raise TrainingError(
        f"A model of type {getattr(model, 'model_type', '?')} cannot be compared layer by layer."
    )


def _groups(lengths: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return first row, row after the last, and length of batches; `lengths` is ascending."""
    groups: list[tuple[int, int, int]] = []
    start = 0
    for row, length in enumerate(lengths):
        if row > start and (row - start + 1) * length > _BATCH_TOKENS:
            groups.append((start, row, lengths[row - 1]))
            start = row
    groups.append((start, len(lengths), lengths[-1]))
    return groups


def _cut(value: Any, length: int) -> Any:
    """Cut a mask over whole rows to the first `length` places; leave other arguments alone."""
    if isinstance(value, mx.array) and value.ndim >= 2:
        return value[..., :length, :length]
    return value
