"""What steers a response while it is decoded: the seam between the engine and the grammar.

The engine asks a guide after each token. Outside tool calls the answers are empty and cost
nothing; inside, the guide knows which tokens may follow and which must.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

TokenMask = NDArray[np.uint32]
"""Allowed tokens as bits, the lowest first: token `t` is bit `t % 32` of word `t // 32`."""


class Guide(Protocol):
    """Follows the tokens of one response; belongs to the engine's thread."""

    def accept(self, tokens: Sequence[int]) -> int:
        """Take the next tokens and return how many of them may stand there.

        The first one that may not stand there, and what follows it, is not taken.
        """

    def forced(self) -> tuple[int, ...]:
        """Return the tokens that must follow now, not yet accepted; mostly none."""

    def mask(self) -> TokenMask | None:
        """Return which tokens may follow now, or None when all may."""

    def rollback(self, count: int) -> None:
        """Take back the last `count` accepted tokens."""
