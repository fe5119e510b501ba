"""Eight sessions at once against one: tokens per second of all together, and what they write."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import anyio

from punie.models.mlx.bench.answers import generate
from punie.models.mlx.bench.rows import Finding, Limit, Row
from punie.models.mlx.bench.suite import Subject
from punie.models.mlx.engine import Engine
from punie.models.mlx.generation import GenerateRequest

SESSIONS = 8
_TOKENS = 96
_PROMPT = 24
_RUNS = 3


@dataclass(frozen=True)
class BatchSpeeds:
    """Tokens per second of one session and of all, and how many wrote the same as alone."""

    one: float
    all: float
    same: int


async def measure(subject: Subject) -> list[Finding]:
    """Let one session write, then all at once, in turn."""
    speeds = await batch_speeds(subject.model.engine, subject.say)
    # With a slow BLAS a wide pass costs almost as much as its rows one by one.
    limit = Limit("at least", 2.5) if subject.bundled and subject.fast_blas else None
    return [
        Row(
            f"{SESSIONS} sessions at once",
            speeds.all / speeds.one,
            "times",
            f"the speed of one ({speeds.all:.0f} and {speeds.one:.0f} tokens/s, medians)",
            limit,
        ),
        Row(
            "written as alone",
            100 * speeds.same / SESSIONS,
            "%",
            f"of {SESSIONS} sessions with {_TOKENS} tokens each, greedily",
            # Rounding in wide passes of low precision may turn a choice between equals.
            Limit("at least", 100.0) if subject.bundled else None,
        ),
    ]


async def batch_speeds(engine: Engine, say: Callable[[str], None]) -> BatchSpeeds:
    """Let one session write, then all at once, in turn; prompts are read before."""
    rng = Random(11)
    width = engine.vocabulary_size or 1_000
    requests = [
        GenerateRequest(
            tuple(rng.randrange(width) for _ in range(_PROMPT)),
            _TOKENS,
            owner=f"bench-batch-{number}",
            speculate=False,
        )
        for number in range(SESSIONS)
    ]
    alone = [(await generate(engine, request))[0] for request in requests]
    one, together = [], []
    same: set[int] = set(range(SESSIONS))
    for run in range(_RUNS + 1):
        say(f"run {run + 1} of {_RUNS + 1}")
        begin = time.perf_counter()
        tokens, _ = await generate(engine, requests[run % SESSIONS])
        single = len(tokens) / (time.perf_counter() - begin)
        found: dict[int, list[int]] = {}

        async def write(number: int, found: dict[int, list[int]] = found) -> None:
            found[number], _ = await generate(engine, requests[number])

        begin = time.perf_counter()
        async with anyio.create_task_group() as group:
            for number in range(SESSIONS):
                group.start_soon(write, number)
        seconds = time.perf_counter() - begin
        same &= {number for number in same if found[number] == alone[number]}
        if run:  # the first one warms up
            one.append(single)
            together.append(sum(map(len, found.values())) / seconds)
    return BatchSpeeds(statistics.median(one), statistics.median(together), len(same))
