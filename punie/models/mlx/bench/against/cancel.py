"""How soon a small request is answered right after a person has cancelled a large one.

The connection is closed in the middle of an answer, or while a long prompt is read, and the next
request follows at once: what a server still does for the one that was left delays it.
"""

import random
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import anyio
from pydantic_ai.messages import ModelRequest, UserPromptPart

from punie.models.mlx.bench.against.target import Pair
from punie.models.mlx.bench.against.turns import hear_both, in_turn, sides_of
from punie.models.mlx.bench.decode import QUESTION
from punie.models.mlx.bench.prompts import NewPrompts
from punie.models.mlx.bench.rows import BenchError, Finding, Skipped, ratio
from punie.models.mlx.bench.sides import (
    Question,
    Side,
    cut_off_reading,
    cut_off_writing,
    listen,
)

_RUNS = 5
_ANSWER_TOKENS = 256
_LONG_SECONDS = 0.5
"""A prompt that takes longer than this is long enough to go away while it is read."""
_MOST_REST = 10.0
_WRITING = "answer after a cancel while it writes"
_READING = "answer after a cancel while it reads"

Cut = Callable[[Side], Awaitable[float]]
"""Asks a side and goes away; returns when it went."""


@dataclass(frozen=True)
class _Waits:
    """Seconds for a small request: when nothing else was asked, and after a cancel."""

    idle: float
    after: float


async def measure(pair: Pair) -> list[Finding]:
    """Cancel while both sides write, then while they read."""
    findings: list[Finding] = []
    for name, cancel in ((_WRITING, _while_writing), (_READING, _while_reading)):
        try:
            findings.append(await cancel(pair))
        except BenchError as error:
            findings.append(Skipped(name, str(error)))
    return findings


async def _while_writing(pair: Pair) -> Finding:
    prompt = [ModelRequest(parts=[UserPromptPart(QUESTION)])]
    question = Question(prompt, _ANSWER_TOKENS, owner="bench-cancel-writing")
    _, whole = await hear_both(pair, 0, question)

    async def cut(side: Side) -> float:
        return await cut_off_writing(side, question)

    return await _row(pair, _WRITING, cut, whole.seconds)


async def _while_reading(pair: Pair) -> Finding:
    prompts = NewPrompts(pair.subject.model)
    if not prompts.lengths:
        raise BenchError("the model's window is too short")

    async def question(length: int) -> Question:
        return Question(await prompts.of(length), 1, owner="bench-cancel-reading")

    for tokens in prompts.lengths:
        ours, theirs = await hear_both(pair, 0, await question(tokens))
        if max(ours.first, theirs.first) > _LONG_SECONDS:
            break
    halves = {id(pair.ours): ours.first / 2, id(pair.theirs): theirs.first / 2}

    async def cut(side: Side) -> float:
        return await cut_off_reading(side, await question(tokens), halves[id(side)])

    return await _row(pair, _READING, cut, theirs.first)


async def _row(pair: Pair, name: str, cut: Cut, whole: float) -> Finding:
    """Compare small requests after `cut`, for all of which the other side needs `whole` seconds."""
    runs = []
    for run in range(_RUNS):
        pair.subject.say(f"{name}, run {run + 1} of {_RUNS}")
        runs.append(await in_turn(pair, run, partial(_waits, pair, cut, whole)))
    own = 1e3 * statistics.median(ours.idle for ours, _ in runs)
    other = 1e3 * statistics.median(theirs.idle for _, theirs in runs)
    how = f"when nothing is cancelled it takes {own:.1f} and {other:.1f} ms"
    after = [(1e3 * ours.after, 1e3 * theirs.after) for ours, theirs in runs]
    return ratio(name, sides_of(after, "ms"), f"{pair.peer.title};", how)


async def _waits(pair: Pair, cut: Cut, whole: float, side: Side) -> _Waits:
    idle = (await listen(side, _small())).seconds
    left = await cut(side)
    await listen(side, _small())
    after = time.perf_counter() - left
    if side is pair.theirs:
        # A server that does not notice works on, and that is not to slow down the next run.
        await anyio.sleep(min(whole, _MOST_REST))
    return _Waits(idle, after)


def _small() -> Question:
    text = f"Is {random.randrange(10**6)} a number?"
    return Question([ModelRequest(parts=[UserPromptPart(text)])], 1, owner="bench-cancel-small")
