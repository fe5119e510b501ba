"""From the start of a process to its first token, both sides in turn, with the same weights."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import assert_never

from punie.models.mlx.bench.against.client import Client, open_http
from punie.models.mlx.bench.against.mlx_lm_server import serving
from punie.models.mlx.bench.against.target import HELLO, Address, MlxLm, Target, title_of
from punie.models.mlx.bench.against.turns import sides_of
from punie.models.mlx.bench.page_cache import weight_files
from punie.models.mlx.bench.rows import BenchError, Finding, Skipped, ratio
from punie.models.mlx.bench.sides import listen
from punie.models.mlx.bench.start import (
    COLD,
    COLD_RUNS,
    RUNS,
    WARM,
    held,
    let_go,
    our_start,
)
from punie.models.mlx.bench.suite import Subject

Start = Callable[[Subject], Awaitable[float]]


async def measure(subject: Subject, target: Target) -> list[Finding]:
    """Start both in turn, with the weights in memory and without."""
    match target:
        case Address():
            raise BenchError(f"{title_of(target)} runs already, and is not started again")
        case MlxLm():
            return await _measure(subject, title_of(target))
        case _:
            assert_never(target)


async def _measure(subject: Subject, whose: str) -> list[Finding]:
    await subject.model.engine.rest()
    files = weight_files(subject.path)
    warm = []
    for run in range(RUNS + 1):
        subject.say(f"weights in memory, run {run + 1} of {RUNS + 1}")
        seconds = [await start(subject) for start in _order(run)]
        if run:  # before, the system does not hold all that a start reads
            warm.append(_ours_first(run, seconds))
    findings: list[Finding] = [ratio(WARM, sides_of(warm, "s"), whose, f"with {held(files)}")]
    cold = []
    for run in range(COLD_RUNS):
        subject.say(f"weights from the disk, run {run + 1} of {COLD_RUNS}")
        seconds = []
        for start in _order(run):
            if reason := let_go(files):
                return [*findings, Skipped(COLD, reason)]
            seconds.append(await start(subject))
        cold.append(_ours_first(run, seconds))
    return [*findings, ratio(COLD, sides_of(cold, "s"), whose)]


def _order(run: int) -> tuple[Start, Start]:
    """Return who starts first and who next; that changes from run to run."""
    return (our_start, _their_start) if run % 2 else (_their_start, our_start)


def _ours_first(run: int, seconds: Sequence[float]) -> tuple[float, float]:
    one, other = seconds
    return (one, other) if run % 2 else (other, one)


async def _their_start(subject: Subject) -> float:
    begin = time.perf_counter()
    async with serving(subject.path, subject.environment) as peer, open_http(peer.endpoint) as http:
        await listen(Client(http, peer, quiet=False), HELLO)
        return time.perf_counter() - begin
