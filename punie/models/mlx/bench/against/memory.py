"""What both processes hold in memory after the same requests.

Ours holds the measurements too, and what earlier ones of this run have left in the caches of both.
"""

from punie.models.mlx.bench.against.reuse import converse
from punie.models.mlx.bench.against.target import Pair
from punie.models.mlx.bench.against.turns import sides_of
from punie.models.mlx.bench.memory import resident_bytes
from punie.models.mlx.bench.rows import BenchError, Finding, ratio

_TURNS = 4


async def measure(pair: Pair) -> list[Finding]:
    """Hold a conversation with both sides, and compare what their processes hold in RAM."""
    if pair.peer.pid is None:
        raise BenchError(f"not known of {pair.peer.title}, which was not started here")
    answers = await converse(pair, _TURNS)
    held = resident_bytes() / 1e6, resident_bytes(pair.peer.pid) / 1e6
    how = f"after the same {len(answers)} requests"
    return [ratio("memory of the process", sides_of([held], "MB"), pair.peer.title, how)]
