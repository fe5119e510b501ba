import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie.training.data.likeness import (
    NearDuplicates,
    likeness,
    normalised,
    shingles_of,
    words_of,
)
from tests.training.data.samples import answer, example, reading, user

texts = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=30)


def exact(one: list[str], other: list[str]) -> float:
    """The Jaccard index of runs of three words, worked out plainly."""
    sets = []
    for words in (one, other):
        run = min(3, len(words))
        sets.append({tuple(words[i : i + run]) for i in range(len(words) - run + 1)})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


@given(texts, texts)
def test_likeness_is_the_share_of_common_runs(one: list[str], other: list[str]) -> None:
    assert likeness(shingles_of(one), shingles_of(other)) == pytest.approx(exact(one, other))


@settings(max_examples=50, deadline=None)
@given(st.lists(texts, max_size=12), st.sampled_from([0.3, 0.8, 1.0]))
def test_nothing_is_called_alike_that_is_not(many: list[list[str]], threshold: float) -> None:
    known = NearDuplicates(threshold)
    for number, words in enumerate(many):
        found = list(known.like(shingles_of(words)))
        alike = [i for i in range(number) if exact(many[i], words) >= threshold]
        assert set(found) <= set(alike)
        # What is the same is always found.
        assert {i for i in alike if exact(many[i], words) == 1} <= set(found)
        assert known.add(shingles_of(words)) == number


@pytest.mark.parametrize("changed", [4, 8])
def test_nearly_all_alike_pairs_are_found(changed: int) -> None:
    random = np.random.default_rng(changed)
    missed = 0
    known = NearDuplicates(0.8)
    pairs = []
    for _ in range(300):
        words = [str(word) for word in random.integers(0, 5_000, 200)]
        other = list(words)
        for place in random.choice(200, changed, replace=False):
            other[place] = "changed"
        pairs.append((known.add(shingles_of(words)), words, other))
    for number, words, other in pairs:
        alike = exact(words, other) >= 0.8
        found = number in known.like(shingles_of(other))
        assert alike or not found
        missed += alike and not found
    assert missed <= 3


def test_many_are_kept_apart() -> None:
    known = NearDuplicates(0.8)
    for number in range(1_500):
        known.add(shingles_of([f"{number}-{place}" for place in range(10)]))
    assert list(known.like(shingles_of([f"1400-{place}" for place in range(10)]))) == [1400]


def test_case_signs_and_spaces_do_not_count_in_a_query() -> None:
    assert normalised("  What is\nin `A.py`?") == "what is in a py"
    assert normalised("???") == "???"


def test_words_are_those_of_calls_too() -> None:
    words = words_of(reading("What is in a.py?"))
    assert words[:5] == ["\0user", "what", "is", "in", "a"]
    assert "\0read_file" in words
    same = words_of(example(user("A"), answer("b")))
    assert same == ["\0user", "a", "\0assistant", "b"]
