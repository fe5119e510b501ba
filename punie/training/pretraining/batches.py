"""Training batches: conversations of like length side by side, in few shapes."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from punie.training.data.sequences import TrainingSequence
from punie.training.distilling.targets import Targets, TargetSource
from punie.training.errors import TrainingError

LENGTH_STEP = 32
"""Rows are padded to a multiple of this many tokens."""

POSITION_STEP = 256
"""Lists of learned positions are padded to a multiple of this many entries."""


@dataclass(frozen=True)
class Example:
    """One conversation: its ids, which of them are learned, and its number among all."""

    ids: NDArray[np.int32]
    learned: NDArray[np.bool_]
    number: int = 0


@dataclass(frozen=True)
class Batch:
    """Rows of tokens and the positions whose next token is learned.

    Attributes:
        tokens: (rows, length) ids, padded on the right with zero.
        positions: flat indices into `tokens` of the positions that predict.
        targets: the id that follows each of them.
        weights: one for a learned position, zero for padding of the list.
        text_tokens: how many ids are not padding.
        taught: what a teacher says to these positions, if there is one.
    """

    tokens: NDArray[np.int32]
    positions: NDArray[np.int32]
    targets: NDArray[np.int32]
    weights: NDArray[np.float32]
    text_tokens: int
    taught: Targets | None = None


def encoded(sequence: TrainingSequence, number: int = 0) -> Example:
    """Return a sequence as arrays."""
    return Example(np.array(sequence.ids, np.int32), np.array(sequence.learned, np.bool_), number)


def padded_length(length: int) -> int:
    """The row length that a conversation of `length` tokens is padded to."""
    return -(-length // LENGTH_STEP) * LENGTH_STEP


def plan(lengths: Sequence[int], tokens_per_batch: int, seed: int, epoch: int) -> list[list[int]]:
    """The batches of one epoch as lists of example numbers, the same for the same arguments.

    Examples of one padded length go together. A group that does not fill a batch moves on to
    the next longer length, so nothing but the very last rest is left out of an epoch.
    """
    random = np.random.default_rng((seed, epoch))
    groups: dict[int, list[int]] = {}
    for index in random.permutation(len(lengths)):
        groups.setdefault(padded_length(lengths[index]), []).append(int(index))
    batches: list[list[int]] = []
    rest: list[int] = []
    for length in sorted(groups):
        waiting = rest + groups[length]
        # An even number, so that both halves take equally long.
        rows = 2 * max(1, tokens_per_batch // (2 * length))
        full = len(waiting) // rows * rows
        batches += [waiting[start : start + rows] for start in range(0, full, rows)]
        rest = waiting[full:]
    return [batches[index] for index in random.permutation(len(batches))]


def make_batch(examples: Sequence[Example], teacher: TargetSource | None = None) -> Batch:
    """Put examples side by side, with what a teacher says to them."""
    length = padded_length(max(len(example.ids) for example in examples))
    tokens = np.zeros((len(examples), length), np.int32)
    positions, targets = [], []
    for row, example in enumerate(examples):
        tokens[row, : len(example.ids)] = example.ids
        predicted = np.flatnonzero(example.learned[1:])
        positions.append(predicted + row * length)
        targets.append(example.ids[1:][predicted])
    batch = _padded(tokens, np.concatenate(positions), np.concatenate(targets), examples)
    if teacher is None:
        return batch
    taught = teacher.targets([example.number for example in examples])
    return replace(batch, taught=taught.padded(len(batch.positions)))


def _padded(
    tokens: NDArray[np.int32],
    positions: NDArray[np.int64],
    targets: NDArray[np.int32],
    examples: Sequence[Example],
) -> Batch:
    count = len(positions)
    size = max(1, -(-count // POSITION_STEP)) * POSITION_STEP
    weights = np.zeros(size, np.float32)
    weights[:count] = 1
    return Batch(
        tokens,
        np.pad(positions, (0, size - count)).astype(np.int32),
        np.pad(targets, (0, size - count)).astype(np.int32),
        weights,
        sum(len(example.ids) for example in examples),
    )


def halves(examples: Sequence[Example], teacher: TargetSource | None = None) -> tuple[Batch, ...]:
    """The same examples as one batch for each of two workers, or as one if there is only one."""
    if len(examples) < 2:
        return (make_batch(examples, teacher),)
    return make_batch(examples[0::2], teacher), make_batch(examples[1::2], teacher)


def epochs(
    examples: Sequence[Example], tokens_per_batch: int, seed: int, start: tuple[int, int] = (0, 0)
) -> Iterator[tuple[tuple[int, int], list[Example]]]:
    """Endless batches with, for each, the (epoch, batch) to start from to go on after it."""
    lengths = [len(example.ids) for example in examples]
    epoch, first = start
    while True:
        batches = plan(lengths, tokens_per_batch, seed, epoch)
        if not batches:
            raise TrainingError("The training data do not fill a single batch; make more of them.")
        for number in range(first, len(batches)):
            following = (epoch, number + 1)
            yield following, [examples[index] for index in batches[number]]
        epoch, first = epoch + 1, 0


def length_summary(examples: Sequence[Example]) -> str:
    """How long the examples are, as one line for the log."""
    lengths = np.array([len(example.ids) for example in examples])
    learned = sum(int(example.learned.sum()) for example in examples)
    shapes = Counter(padded_length(int(length)) for length in lengths)
    middle, long = np.percentile(lengths, [50, 99])
    return (
        f"{len(lengths)} conversations, {lengths.sum()} tokens ({learned} learned), "
        f"length median {middle:.0f}, 99% {long:.0f}, longest {lengths.max()}, "
        f"{len(shapes)} row lengths"
    )
