from hypothesis import given
from hypothesis import strategies as st

from punie.training.data.disjoint_sets import DisjointSets


@given(st.integers(0, 12), st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11))))
def test_sets_are_a_partition_that_no_tie_crosses(count: int, ties: list[tuple[int, int]]) -> None:
    ties = [(one, other) for one, other in ties if max(one, other) < count]
    joined = DisjointSets(count)
    for one, other in ties:
        joined.join(one, other)
    found = joined.sets()
    assert sorted(number for piece in found for number in piece) == list(range(count))
    place = {number: index for index, piece in enumerate(found) for number in piece}
    assert all(place[one] == place[other] for one, other in ties)
    # And no piece is larger than it has to be: its ties hold it together.
    for piece in found:
        reached = {piece[0]}
        for _ in piece:
            reached |= {b for a, b in ties if a in reached} | {a for a, b in ties if b in reached}
        assert reached == set(piece)
