"""How sure a measured figure is: rates, two models on the same tasks, means over seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

_TWO_SIDED_95 = 1.959963984540054


@dataclass(frozen=True)
class Rate:
    """A share of cases, with the interval that holds the true share in 95 of 100 experiments.

    `low` and `high` are Wilson's score interval (E. B. Wilson, 1927), which stays within 0 and 1
    and is honest for few cases too.
    """

    hits: int
    of: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share itself, 0 if there were no cases."""
        return self.hits / self.of if self.of else 0.0

    def __str__(self) -> str:
        return f"{self.value:.1%} ({self.low:.1%} to {self.high:.1%}, {self.hits} of {self.of})"


def rate(hits: int, of: int) -> Rate:
    """Return the rate of `hits` among `of` cases; without cases the interval is 0 to 1.

    Raises `ValueError` for counts that cannot be.
    """
    if not 0 <= hits <= of:
        raise ValueError(f"{hits} of {of} cannot be")
    if of == 0:
        return Rate(0, 0, 0.0, 1.0)
    z2 = _TWO_SIDED_95**2
    share = hits / of
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = _TWO_SIDED_95 / (1 + z2 / of) * math.sqrt(share * (1 - share) / of + z2 / (4 * of**2))
    # The ends are 0 and 1 exactly there, but for rounding.
    low = 0.0 if hits == 0 else max(0.0, middle - half)
    return Rate(hits, of, low, 1.0 if hits == of else min(1.0, middle + half))


@dataclass(frozen=True)
class Paired:
    """What changed between two runs over the same cases.

    `gained` counts the cases that only the second got right, `lost` those that only the first did.
    `difference` is the second's rate less the first's; `low` and `high` hold the true difference in
    95 of 100 experiments. `p` is how likely so uneven a split of the changed cases is if neither is
    better.
    """

    both: int
    gained: int
    lost: int
    neither: int
    difference: float
    low: float
    high: float
    p: float

    @property
    def is_worse(self) -> bool:
        """Whether the second is worse than chance explains (at 5 %)."""
        return self.difference < 0 and self.p < 0.05

    @property
    def is_better(self) -> bool:
        """Whether the second is better than chance explains (at 5 %)."""
        return self.difference > 0 and self.p < 0.05

    def __str__(self) -> str:
        return (
            f"{self.difference:+.1%} ({self.low:+.1%} to {self.high:+.1%}, "
            f"{self.gained} gained, {self.lost} lost, p = {self.p:.2g})"
        )


def paired(before: Sequence[bool], after: Sequence[bool]) -> Paired:
    """Compare two runs over the same cases in the same order.

    `p` is McNemar's exact test (two-sided, binomial over the changed cases). The interval is
    R. G. Newcombe's for paired proportions (1998, method 10), which joins Wilson's intervals.
    Raises `ValueError` if the runs differ in length.
    """
    pairs = list(zip(before, after, strict=True))
    both = sum(b and a for b, a in pairs)
    lost = sum(b and not a for b, a in pairs)
    gained = sum(a and not b for b, a in pairs)
    neither = len(pairs) - both - lost - gained
    of = len(pairs)
    if of == 0:
        return Paired(0, 0, 0, 0, 0.0, -1.0, 1.0, 1.0)
    first, second = rate(both + lost, of), rate(both + gained, of)
    correlation = _correlation(both, lost, gained, neither)
    difference = second.value - first.value
    down = _joined(second.value - second.low, first.high - first.value, correlation)
    up = _joined(second.high - second.value, first.value - first.low, correlation)
    return Paired(
        both,
        gained,
        lost,
        neither,
        difference,
        max(-1.0, difference - down),
        min(1.0, difference + up),
        _exact_mcnemar(gained, lost),
    )


def _joined(one: float, other: float, correlation: float) -> float:
    return math.sqrt(max(0.0, one**2 - 2 * correlation * one * other + other**2))


def _correlation(both: int, lost: int, gained: int, neither: int) -> float:
    """Return the correlation of two runs, corrected for continuity where it is positive."""
    of = both + lost + gained + neither
    product = (both + lost) * (gained + neither) * (both + gained) * (lost + neither)
    if product == 0:
        return 0.0
    cross: float = both * neither - lost * gained
    if cross > 0:
        cross = max(cross - of / 2, 0.0)
    return cross / math.sqrt(product)


def _exact_mcnemar(gained: int, lost: int) -> float:
    return min(1.0, 2 * p_worse(max(gained, lost), min(gained, lost)))


def p_worse(lost: int, gained: int) -> float:
    """Return how likely so few cases were gained, of those that changed, if nothing is worse.

    McNemar's exact test, one-sided. Raises `ValueError` for counts that cannot be.
    """
    if lost < 0 or gained < 0:
        raise ValueError(f"{lost} lost and {gained} gained cannot be")
    changed = lost + gained
    tail = sum(math.comb(changed, few) for few in range(gained + 1))
    # Whole numbers up to here: a float would overflow with a thousand changed cases.
    return tail / (1 << changed)


@dataclass(frozen=True)
class Mean:
    """The mean of one figure over several seeds; `low` and `high` as for `Rate`, by Student's t."""

    value: float
    low: float
    high: float
    of: int

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g}, {self.of} seeds)"


def mean(values: Sequence[float]) -> Mean:
    """Return the mean over seeds with its 95 % interval; with one value the interval is endless.

    Raises `ValueError` without values.
    """
    if not values:
        raise ValueError("no values to take the mean of")
    middle = fmean(values)
    if len(values) == 1:
        return Mean(middle, -math.inf, math.inf, 1)
    half = t_quantile(len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return Mean(middle, middle - half, middle + half, len(values))


def t_quantile(freedom: int) -> float:
    """Return how many standard errors each way hold 95 % of Student's t distribution.

    Found by halving on the finite sums for whole degrees of freedom (Abramowitz and Stegun,
    26.7.3 and 26.7.4).
    """
    low, high = 0.0, 16.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _within_t(middle, freedom) < 0.95 else (low, middle)
    return high


def _within_t(bound: float, freedom: int) -> float:
    """Return how likely Student's t lies within `bound` on both sides."""
    angle = math.atan(bound / math.sqrt(freedom))
    term = total = math.cos(angle) if freedom % 2 else 1.0
    if freedom == 1:
        total = 0.0
    for step in range(3 if freedom % 2 else 2, freedom - 1, 2):
        term *= math.cos(angle) ** 2 * (step - 1) / step
        total += term
    if freedom % 2:
        return 2 / math.pi * (angle + math.sin(angle) * total)
    return math.sin(angle) * total
