"""What the prefix cache keeps and lends."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from punie.models.mlx.prefixes.layers import Layers, fixed_bytes, growing_bytes, is_cuttable

TokenArray = NDArray[np.int32]

Kind = Literal["system", "turn", "message", "session"]
"""What an entry is: the system prompt that sessions share, the place where a turn's answer starts,
the place where its latest message starts, or the last state of a session."""


def common_prefix(left: TokenArray, right: TokenArray) -> int:
    """Return how many first tokens two sequences share."""
    length = min(len(left), len(right))
    different = left[:length] != right[:length]
    first = int(different.argmax()) if length else 0
    return first if length and different[first] else length


@dataclass(eq=False)
class Slot:
    """A cache in use and the tokens it holds; belongs to whoever took it, until it is put.

    `uses` counts the prompts it has served. `origin` is how many tokens it held when taken, and
    `is_copy` tells that the cache still has them too.
    """

    tokens: list[int]
    layers: Layers
    uses: int = 0
    origin: int = 0
    is_copy: bool = False

    @property
    def nbytes(self) -> int:
        """Memory of the arrays, in bytes."""
        return growing_bytes(self.layers) + fixed_bytes(self.layers)


@dataclass(eq=False)
class Entry:
    """A state that is kept; nobody writes to its layers.

    `pinned` are the bytes of the buffers behind its growing tensors, `fixed` those of the rest.
    With a `carrier` the growing tensors are views of the carrier's, and take nothing more.
    `is_settled` tells that it is saved on disk, or that it cannot be.
    """

    tokens: TokenArray
    layers: Layers
    kind: Kind
    owner: str | None
    uses: int
    clock: float
    fixed: int
    pinned: int
    carrier: "Entry | None" = field(default=None, repr=False)
    is_settled: bool = False

    @property
    def nbytes(self) -> int:
        """Memory that it takes beyond its carrier's, in bytes."""
        return self.fixed + (0 if self.carrier else self.pinned)

    def usable(self, prompt: TokenArray, limit: int) -> int:
        """Return how many of the first `limit` tokens of `prompt` it saves from prefilling."""
        length = min(common_prefix(self.tokens, prompt), limit)
        return length if length == len(self.tokens) or is_cuttable(self.layers) else 0
