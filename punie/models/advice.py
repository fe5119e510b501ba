"""Which model to download for how much memory.

All are conversions by mlx-community. Sizes are of the weights; they and the advice come from
docs/models.md, where the sources stand. What a download really takes is asked from the hub.
"""

from dataclasses import dataclass

_GB = 10**9
_GIB = 1 << 30


@dataclass(frozen=True)
class Advice:
    """A model for machines with at least `memory` bytes of RAM; `size` of its weights in bytes."""

    id: str
    size: int
    memory: int
    note: str


ADVICE: tuple[Advice, ...] = (
    Advice(
        "mlx-community/Qwen3-4B-Instruct-2507-4bit",
        int(2.3 * _GB),
        8 * _GIB,
        "small and quick; for simple edits and questions",
    ),
    Advice(
        "mlx-community/Qwen3.5-9B-4bit",
        int(5.6 * _GB),
        16 * _GIB,
        "better at longer work, slower; thinks",
    ),
    Advice(
        "mlx-community/Qwen3-Coder-30B-A3B-Instruct-4bit",
        int(17.2 * _GB),
        32 * _GIB,
        "made for coding; its prompts only grow, so that turns begin at once",
    ),
    Advice(
        "mlx-community/Qwen3.6-35B-A3B-4bit",
        int(20.4 * _GB),
        36 * _GIB,
        "newer and better at tool calls; thinks",
    ),
    Advice(
        "mlx-community/Qwen3-Coder-30B-A3B-Instruct-8bit",
        int(32.5 * _GB),
        64 * _GIB,
        "the coder without what four bits lose",
    ),
    Advice(
        "mlx-community/Qwen3-Coder-Next-4bit",
        int(44.8 * _GB),
        64 * _GIB,
        "the strongest coder of the family; tight on 64 GB",
    ),
    Advice(
        "mlx-community/Qwen3-Coder-Next-8bit",
        int(84.7 * _GB),
        128 * _GIB,
        "the same without what four bits lose",
    ),
)
"""From the smallest to the largest."""


def advice_for(memory: int) -> tuple[Advice, ...]:
    """Return what is worth a download with `memory` bytes of RAM, the best first, two at most."""
    # A machine shows a little less than what it was sold with.
    return tuple(reversed([one for one in ADVICE if one.memory <= memory * 1.05]))[:2]
