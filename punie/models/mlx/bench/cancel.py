"""How soon the engine is free after a cancel: against one step, and one chunk of a prompt."""

import statistics
import time
from collections.abc import Callable
from functools import partial
from random import Random

import anyio

from punie.models.mlx.bench.rows import Finding, Limit, Row
from punie.models.mlx.bench.suite import Subject
from punie.models.mlx.engine import Engine
from punie.models.mlx.generation import (
    Decoded,
    EngineEvent,
    Finished,
    GenerateRequest,
    Prefilled,
)

_RUNS = 15
_PROMPT = 4_000
_MOST_TOKENS = 100_000
_STEPS = 60
_CHUNKS = 3
"""Chunks after which the size of chunks has settled."""


async def measure(subject: Subject) -> list[Finding]:
    """Cancel at random moments while the model writes, then while it reads."""
    engine, rng = subject.model.engine, Random(5)
    width = engine.vocabulary_size or 1_000

    def prompt(length: int) -> tuple[int, ...]:
        return tuple(rng.randrange(width) for _ in range(length))

    step = await _step_seconds(engine, prompt(8))
    writing = []
    for run in range(_RUNS):
        subject.say(f"writing, run {run + 1} of {_RUNS}")
        request = GenerateRequest(prompt(8), _MOST_TOKENS, speculate=False)
        moment = rng.uniform(2, 12) * step
        wait = partial(_at_once, moment)
        writing.append(await _cancelled_after(engine, request, Decoded, wait))
    chunks: list[float] = []
    reading = []
    for run in range(_RUNS):
        subject.say(f"reading, run {run + 1} of {_RUNS}")
        request = GenerateRequest(prompt(_PROMPT), 1, speculate=False)
        share = rng.random()
        wait = partial(_within_a_chunk, share, chunks)
        reading.append(await _cancelled_after(engine, request, Prefilled, wait))
    return [
        _row("cancel while it writes", writing, step, "a step"),
        _row("cancel while it reads", reading, statistics.median(chunks), "a chunk of a prompt"),
    ]


def _at_once(moment: float, seconds: list[float]) -> float | None:
    return moment


def _within_a_chunk(share: float, chunks: list[float], seconds: list[float]) -> float | None:
    """Wait for a part of a chunk's time, which is noted, once the chunks have their size."""
    if len(seconds) < _CHUNKS:
        return None
    chunks.append(seconds[-1])
    return share * seconds[-1]


def _row(name: str, waits: list[float], whole: float, what: str) -> Row:
    median, worst = 1e3 * statistics.median(waits), 1e3 * max(waits)
    return Row(
        name,
        median / (1e3 * whole),
        "times",
        f"{what} of {1e3 * whole:.1f} ms until the engine is free (median of {len(waits)}: "
        f"{median:.1f} ms, {worst:.1f} at worst)",
        Limit("at most", 1.0),
    )


async def _step_seconds(engine: Engine, prompt: tuple[int, ...]) -> float:
    """Return the seconds for a token when nothing else is done."""
    seconds: list[float] = []
    for _ in range(3):
        first, begin = 0, 0.0
        count = 0
        async with engine.generate(GenerateRequest(prompt, _STEPS, speculate=False)) as generation:
            async for event in generation:
                if isinstance(event, Decoded):
                    count += len(event.tokens)
                    if not first:
                        first, begin = count, time.perf_counter()
        seconds.append((time.perf_counter() - begin) / max(count - first, 1))
    return statistics.median(seconds)


async def _cancelled_after(
    engine: Engine,
    request: GenerateRequest,
    kind: type[EngineEvent],
    wait: Callable[[list[float]], float | None],
) -> float:
    """Cancel at some moment after events of a kind; return the seconds until it has ended.

    `wait` is told the seconds between these events and says how long to go on, or None.
    """
    cancelled = 0.0
    last = time.perf_counter()
    between: list[float] = []
    async with engine.generate(request) as generation, anyio.create_task_group() as group:

        async def cancel(after: float) -> None:
            nonlocal cancelled
            await anyio.sleep(after)
            cancelled = time.perf_counter()
            generation.cancel()

        asked = False
        async for event in generation:
            now = time.perf_counter()
            if isinstance(event, Finished):
                return now - cancelled
            if isinstance(event, kind) and not asked:
                between.append(now - last)
                last = now
                after = wait(between)
                if after is not None:
                    asked = True
                    group.start_soon(cancel, after)
    raise AssertionError("a generation ends with its end")
