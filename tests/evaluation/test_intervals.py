import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.evaluation.intervals import mean, p_worse, paired, rate, t_quantile


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


def _runs(both: int, lost: int, gained: int, neither: int) -> tuple[list[bool], list[bool]]:
    before = [True] * (both + lost) + [False] * (gained + neither)
    after = [True] * both + [False] * lost + [True] * gained + [False] * neither
    return before, after


@pytest.mark.parametrize(
    ("cells", "difference", "low", "high"),
    # Fagerland, Lydersen and Laake (2014; Statistical Analysis of Contingency Tables, chapter 8):
    # airway reactivity around a transplantation, response around a consolidation therapy.
    [((1, 1, 7, 12), 0.2857, 0.026, 0.507), ((59, 6, 16, 80), 0.0621, 0.0046, 0.1186)],
)
def test_published_paired_intervals(
    cells: tuple[int, int, int, int], difference: float, low: float, high: float
) -> None:
    found = paired(*_runs(*cells))
    assert found.difference == pytest.approx(difference, abs=5e-5)
    assert found.low == pytest.approx(low, abs=5e-4)
    assert found.high == pytest.approx(high, abs=5e-4)


def test_a_published_exact_test() -> None:
    # The same study: the exact conditional McNemar test.
    found = paired(*_runs(1, 1, 7, 12))
    assert found.p == pytest.approx(0.0703, abs=5e-5)
    assert not found.is_better
    assert not found.is_worse


@given(*[st.integers(0, 60)] * 4)
def test_pairs_mirror(both: int, lost: int, gained: int, neither: int) -> None:
    before, after = _runs(both, lost, gained, neither)
    there, back = paired(before, after), paired(after, before)
    assert -1 <= there.low <= there.difference <= there.high <= 1
    assert there.difference == pytest.approx(-back.difference)
    assert there.low == pytest.approx(-back.high)
    assert there.high == pytest.approx(-back.low)
    assert there.p == back.p
    assert 0 < there.p <= 1


def test_many_changed_cases_and_none() -> None:
    assert paired(*_runs(0, 2000, 1000, 0)).is_worse
    assert paired(*_runs(0, 1000, 2000, 0)).is_better
    assert paired([], []).p == 1
    with pytest.raises(ValueError, match="shorter"):
        paired([True], [])


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (30, 2.042), (120, 1.980)],
)
def test_published_quantiles_of_t(freedom: int, quantile: float) -> None:
    assert t_quantile(freedom) == pytest.approx(quantile, abs=5e-4)


def test_a_mean_over_seeds() -> None:
    found = mean([0.90, 0.92, 0.94])
    assert found.value == pytest.approx(0.92)
    assert found.high - found.value == pytest.approx(4.303 * 0.02 / 3**0.5, abs=1e-4)
    assert mean([0.5]).low == float("-inf")
    with pytest.raises(ValueError, match="no values"):
        mean([])


def test_one_side_of_mcnemars_test() -> None:
    assert p_worse(0, 0) == 1.0
    assert p_worse(5, 0) == pytest.approx(1 / 32)
    assert p_worse(7, 1) == pytest.approx(9 / 256)
    assert p_worse(1, 7) == pytest.approx(1 - 1 / 256)
    assert paired([True] * 7 + [False], [False] * 7 + [True]).p == pytest.approx(2 * p_worse(7, 1))
    with pytest.raises(ValueError, match="cannot be"):
        p_worse(-1, 0)
