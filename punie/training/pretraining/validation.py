"""How a network does on conversations that it never saw."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import mlx.core as mx
import numpy as np

from punie.training.pretraining.batches import Example, make_batch
from punie.training.pretraining.network import Parameters, answer_scores, causal_mask
from punie.training.pretraining.tiny_architecture import TinyShape


@dataclass(frozen=True)
class Validation:
    """How the network does on conversations it never saw.

    Attributes:
        loss: mean negative log likelihood of a learned token.
        token_accuracy: share of learned tokens that are the best guess.
        first_turns: share of first assistant turns that greedy decoding gets exactly right.
        turns: the same over all assistant turns, each after the right history.
    """

    loss: float
    token_accuracy: float
    first_turns: float
    turns: float


def validate(
    parameters: Parameters, examples: Sequence[Example], shape: TinyShape, rows: int = 8
) -> Validation:
    """Measure the network on some conversations.

    One pass decides what greedy decoding would do: it writes exactly the expected turn if and
    only if every token of the turn is the best guess after the expected tokens before it.
    """
    missed, right, first, whole = [], [], [], []
    compute = mx.compile(partial(answer_scores, shape=shape))
    by_length = sorted(examples, key=lambda example: len(example.ids))
    for start in range(0, len(examples), rows):
        group = by_length[start : start + rows]
        batch = make_batch(group)
        mask = causal_mask(*batch.tokens.shape, shape)
        arrays = (mx.array(each) for each in (batch.tokens, batch.positions, batch.targets))
        tokens, positions, targets = arrays
        scores, guesses = compute(parameters, tokens, mask, positions, targets)
        count = int(batch.weights.sum())
        missed.append(np.array(scores)[:count])
        right.append(np.array(guesses)[:count])
        # A gap between learned positions, or a new row, starts a new turn.
        starts = np.flatnonzero(np.diff(batch.positions[:count], prepend=-2) != 1)
        turns = np.minimum.reduceat(right[-1], starts) if count else np.zeros(0, bool)
        row = batch.positions[:count][starts] // batch.tokens.shape[1]
        whole.append(turns)
        first.append(turns[np.diff(row, prepend=-1) != 0])
    return Validation(
        loss=float(np.concatenate(missed).mean()),
        token_accuracy=float(np.concatenate(right).mean()),
        first_turns=float(np.concatenate(first).mean()),
        turns=float(np.concatenate(whole).mean()),
    )
