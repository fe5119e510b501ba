"""Batches of sequences of like length, in an order that the seed decides."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from punie.training.pretraining.batches import padded_length


@dataclass(frozen=True)
class Place:
    """How far a run is in the data: the pass under way, and how many of its batches are done."""

    epoch: int = 0
    batch: int = 0


def plan(lengths: Sequence[int], rows: int, seed: int, epoch: int) -> list[list[int]]:
    """Return the batches of one pass as lists of sequence numbers, `rows` in each.

    Sequences of like length go together. Those that fill no batch are left out of the pass, other
    ones each time, so that none is left out for being long.
    """
    random = np.random.default_rng((seed, epoch))
    shuffled = random.permutation(len(lengths))
    taken = shuffled[: len(lengths) // rows * rows]
    # A stable sort: among equal lengths the order stays that of the shuffle.
    ordered = sorted(taken.tolist(), key=lambda index: padded_length(lengths[index]))
    batches = [ordered[start : start + rows] for start in range(0, len(ordered), rows)]
    return [batches[index] for index in random.permutation(len(batches))]


def endless(
    lengths: Sequence[int], rows: int, seed: int, start: Place
) -> Iterator[tuple[Place, list[int]]]:
    """Yield batches pass after pass, each with the place to go on from after it."""
    epoch, first = start.epoch, start.batch
    while True:
        batches = plan(lengths, rows, seed, epoch)
        for number in range(first, len(batches)):
            yield Place(epoch, number + 1), batches[number]
        epoch, first = epoch + 1, 0
