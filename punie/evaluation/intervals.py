"""How sure a measured rate is."""

import math
from dataclasses import dataclass

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
