"""What a conversation of 20 turns with tools reads again, for every family of models.

Small models of random weights hold a dictated conversation, with templates that only append and
with one that drops earlier thoughts, with caches that can be cut and with running states. Printed
are the most tokens that one request read though they had been read or written before, in one go
and after a restart in the middle; and, for two families, what `mlx_lm.server` reads again of what
it has read before, in the same conversation:

    python tests/bench/bench_reuse.py [--turns 20]
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import anyio

from punie.models.mlx.bench.against.client import Client, open_http
from punie.models.mlx.bench.against.mlx_lm_server import serving
from punie.models.mlx.bench.conversation import (
    TOOLS,
    TURNS,
    Call,
    converse_after_restart,
    converse_alone,
    shared,
)
from punie.models.mlx.bench.reuse import surplus_row
from punie.models.mlx.bench.rows import BenchError, Row, all_hold
from punie.models.mlx.bench.sides import Counts, End
from punie.models.mlx.chat_format import ChatFormat
from tests.models.families import FAMILIES, TEMPLATE_NAMES, TRIMMABLE, Family, FamilyDirectories

SERVED: tuple[Family, ...] = ("qwen3", "qwen3_5")


async def counted(client: Client, call: Call) -> Counts:
    """Let the server write one token; return what it reports."""
    async with client.chat(call.messages, TOOLS, 1) as events:
        async for event in events:
            if isinstance(event, End) and event.counts is not None:
                return event.counts
    raise BenchError("the server reports no tokens")


async def served_row(directory: Path, name: str, calls: Sequence[Call]) -> Row:
    """Send the same prompts to the server, which writes one token each time.

    It does not write what was dictated, so that this counts as new to it.
    """
    known: list[tuple[int, ...]] = []
    again, read = [], 0
    async with serving(directory, {}) as peer, open_http(peer.endpoint) as http:
        client = Client(http, peer, quiet=False)
        for call in calls:
            answer = await counted(client, call)
            if answer.prompt != len(call.prompt):
                raise BenchError(f"{answer.prompt} tokens instead of {len(call.prompt)}")
            new = len(call.prompt) - max((shared(call.prompt, one) for one in known), default=0)
            prefilled = answer.read or 0
            if known:
                again.append(prefilled - new)
                read += prefilled
            known.append(call.prompt)
    return Row(
        f"{name}, mlx_lm.server",
        max(again),
        "tokens",
        f"at most in one of {len(again)} requests ({read:,} read, {sum(again):,} of them again)",
    )


async def measure(turns: int) -> int:
    """Hold all conversations and print what they read again; 1 when that is too much."""
    rows: list[Row] = []

    def tell(row: Row) -> None:
        rows.append(row)
        print(row.line(), flush=True)

    with tempfile.TemporaryDirectory() as root:
        directories = FamilyDirectories(Path(root))
        for family in FAMILIES:
            for template in TEMPLATE_NAMES:
                directory, thinks = directories.own(family, template), template == "strip"
                # A running state is kept shortly before the texts part.
                most = 4 if thinks and family not in TRIMMABLE else 0
                calls = await converse_alone(directory, thinks=thinks, turns=turns)
                tell(surplus_row(f"{family}, {template}", calls, most))
                chat = ChatFormat.load(directory)
                after = await converse_after_restart(directory, chat, thinks=thinks, turns=turns)
                tell(surplus_row(f"{family}, {template}, after a restart", after, most))
                if family in SERVED and template != "json":
                    one = [call for call in calls if call.owner.endswith("one")]
                    tell(await served_row(directory, f"{family}, {template}", one))
    return int(not all_hold(rows))


def main() -> int:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=TURNS)
    return anyio.run(measure, parser.parse_args().turns)


if __name__ == "__main__":
    sys.exit(main())
