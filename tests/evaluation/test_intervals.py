import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.evaluation.intervals import rate


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    # Newcombe (1998), table I: the score method without continuity correction.
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_published_intervals(hits: int, of: int, low: float, high: float) -> None:
    found = rate(hits, of)
    assert found.low == pytest.approx(low, abs=5e-5)
    assert found.high == pytest.approx(high, abs=5e-5)


@given(st.integers(0, 500), st.integers(0, 500))
def test_interval_holds_the_rate(hits: int, more: int) -> None:
    found = rate(hits, hits + more)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_impossible_counts() -> None:
    with pytest.raises(ValueError, match="3 of 2"):
        rate(3, 2)
