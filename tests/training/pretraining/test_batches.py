import numpy as np
import pytest

from punie.training.errors import TrainingError
from punie.training.pretraining.batches import (
    Example,
    epochs,
    halves,
    make_batch,
    plan,
)


def example(ids: list[int], learned: list[int]) -> Example:
    return Example(np.array(ids, np.int32), np.array(learned, np.bool_))


def test_a_batch_names_what_follows_each_predicting_position() -> None:
    batch = make_batch([example([5, 6, 7], [0, 1, 0]), example([1, 2, 3, 4], [0, 0, 1, 1])])
    assert batch.tokens.shape == (2, 32)
    assert batch.positions[:3].tolist() == [0, 33, 34]
    assert batch.targets[:3].tolist() == [6, 3, 4]
    assert batch.weights.sum() == 3
    assert len(batch.positions) == len(batch.targets) == len(batch.weights) == 256
    assert batch.text_tokens == 7


def test_a_learned_first_token_has_nothing_before_it() -> None:
    batch = make_batch([example([5, 6], [1, 1])])
    assert batch.weights.sum() == 1
    assert batch.targets[0] == 6


def test_halves_hold_every_example_once() -> None:
    examples = [example([i, i], [0, 1]) for i in range(1, 6)]
    parts = halves(examples)
    assert sorted(int(row[0]) for part in parts for row in part.tokens) == [1, 2, 3, 4, 5]
    assert len(halves(examples[:1])) == 1


def test_an_epoch_uses_examples_once_in_even_batches() -> None:
    lengths = [10 + number % 200 for number in range(1000)]
    batches = plan(lengths, 1024, seed=3, epoch=0)
    used = [index for batch in batches for index in batch]
    assert len(used) == len(set(used))
    assert len(used) > 990
    for batch in batches:
        longest = -(-max(lengths[index] for index in batch) // 32) * 32
        assert longest * len(batch) <= 1024
    assert plan(lengths, 1024, seed=3, epoch=0) == batches
    assert plan(lengths, 1024, seed=3, epoch=1) != batches


def test_going_on_gives_what_would_have_come() -> None:
    examples = [example([i] * (20 + i), [0] + [1] * (19 + i)) for i in range(1, 60)]
    endless = epochs(examples, 256, seed=1)
    steps = [next(endless) for _ in range(40)]
    place = steps[24][0]
    rest = epochs(examples, 256, seed=1, start=place)
    for following, batch in steps[25:]:
        again, same = next(rest)
        assert again == following
        assert [id(one) for one in same] == [id(one) for one in batch]


def test_no_full_batch_is_an_error_not_an_endless_loop() -> None:
    with pytest.raises(TrainingError, match="do not fill a single batch"):
        next(epochs([example([1, 2], [0, 1])], 4096, seed=1))
