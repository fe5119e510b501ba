"""Both sides in turn: who comes first changes from run to run."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from punie.models.mlx.bench.against.target import Pair
from punie.models.mlx.bench.rows import Sides, Unit
from punie.models.mlx.bench.sides import Heard, Question, Side, listen

_Found = TypeVar("_Found")


async def in_turn(
    pair: Pair, run: int, ask: Callable[[Side], Awaitable[_Found]]
) -> tuple[_Found, _Found]:
    """Return what our side and the other one came to."""
    if run % 2:
        ours = await ask(pair.ours)
        return ours, await ask(pair.theirs)
    theirs = await ask(pair.theirs)
    return await ask(pair.ours), theirs


async def hear_both(pair: Pair, run: int, question: Question) -> tuple[Heard, Heard]:
    """Return what both sides answer to a question."""
    return await in_turn(pair, run, lambda side: listen(side, question))


def sides_of(runs: Sequence[tuple[float, float]], unit: Unit) -> Sides:
    """Return what was found run by run, ours first, as two sides."""
    ours, theirs = zip(*runs, strict=True)
    return Sides(ours, theirs, unit)
