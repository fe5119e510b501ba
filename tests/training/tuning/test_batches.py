from collections import Counter
from itertools import islice, pairwise

from hypothesis import given
from hypothesis import strategies as st

from punie.training.pretraining.batches import padded_length
from punie.training.tuning.batches import Place, endless, plan

_LENGTHS = st.lists(st.integers(1, 400), min_size=1, max_size=40)


@given(_LENGTHS, st.integers(1, 8), st.integers(0, 5), st.integers(0, 5))
def test_a_pass_takes_each_sequence_once_and_like_lengths_together(
    lengths: list[int], rows: int, seed: int, epoch: int
) -> None:
    batches = plan(lengths, rows, seed, epoch)
    assert batches == plan(lengths, rows, seed, epoch)
    assert all(len(batch) == rows for batch in batches)
    taken = [index for batch in batches for index in batch]
    assert len(set(taken)) == len(taken) == len(lengths) // rows * rows
    spans = sorted(
        (min(padded), max(padded))
        for padded in ([padded_length(lengths[index]) for index in batch] for batch in batches)
    )
    assert all(first[1] <= second[0] for first, second in pairwise(spans))


@given(_LENGTHS, st.integers(1, 4), st.integers(0, 30))
def test_going_on_from_a_place_gives_the_batches_that_would_have_come(
    lengths: list[int], rows: int, done: int
) -> None:
    if len(lengths) < rows:
        return
    whole = list(islice(endless(lengths, rows, 7, Place()), done + 5))
    start = whole[done - 1][0] if done else Place()
    assert list(islice(endless(lengths, rows, 7, start), 5)) == whole[done:]


def test_what_fills_no_batch_is_another_one_in_each_pass() -> None:
    lengths = [10, 20, 30, 40, 50, 60, 500]
    seen = Counter(index for epoch in range(50) for b in plan(lengths, 4, 1, epoch) for index in b)
    assert set(seen) == set(range(7))
    assert min(seen.values()) > 15
