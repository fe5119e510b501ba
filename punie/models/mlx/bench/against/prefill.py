"""First token and speed of reading, of prompts that neither side has seen."""

import statistics

from punie.models.mlx.bench.against.target import Pair
from punie.models.mlx.bench.against.turns import hear_both, sides_of
from punie.models.mlx.bench.prefill import RUNS, SLOW_RUNS, SLOW_SECONDS
from punie.models.mlx.bench.prompts import NewPrompts
from punie.models.mlx.bench.rows import BenchError, Finding, Row, Skipped, ratio
from punie.models.mlx.bench.sides import Counts, Question

_ROUND_TRIP = "request without the model"
_ROUND_TRIPS = 15


async def measure(pair: Pair) -> list[Finding]:
    """Let both sides read the same new prompts of several lengths."""
    prompts = NewPrompts(pair.subject.model)
    rows: list[Finding] = []
    for length in prompts.lengths:
        try:
            first, speed = await _at(pair, prompts, length)
        except BenchError as error:
            # A server may read less than our model does.
            rows.append(Skipped(f"first token, {length:,} tokens", str(error)))
            break
        rows += [first, speed]
        assert first.sides is not None
        if max(map(statistics.median, (first.sides.ours, first.sides.theirs))) > SLOW_SECONDS * 1e3:
            break
    if not rows:
        raise BenchError("the model's window is too short")
    try:
        return [*rows, await _round_trip(pair)]
    except BenchError as error:
        return [*rows, Skipped(_ROUND_TRIP, str(error))]


async def _at(pair: Pair, prompts: NewPrompts, length: int) -> tuple[Row, Row]:
    seconds: list[tuple[float, float]] = []
    rates: list[tuple[float, float]] = []
    how = ""
    runs = RUNS
    for run in range(RUNS + 1):
        if run > runs:
            break
        pair.subject.say(f"{length:,} tokens, run {run + 1} of {runs + 1}")
        prompt = await prompts.of(length)
        question = Question(prompt, 1, owner=f"bench-prefill-{length}-{run}")
        ours, theirs = await hear_both(pair, run, question)
        assert ours.counts is not None
        own = _read(ours.counts, ours.counts)
        other = _read(theirs.counts, ours.counts)
        if not run and max(ours.first, theirs.first) > SLOW_SECONDS:
            runs = SLOW_RUNS
        if run:  # the first one warms both up
            seconds.append((1e3 * ours.first, 1e3 * theirs.first))
            rates.append((own / ours.first, other / theirs.first))
            how = f"for {own:,} and {other:,} tokens"
            if theirs.counts is None:
                how += ", theirs counted by our tokenizer"
    whose = pair.peer.title
    return (
        ratio(f"first token, {length:,} tokens", sides_of(seconds, "ms"), whose),
        ratio(f"reading {length:,} tokens", sides_of(rates, "tokens/s"), whose, how),
    )


async def _round_trip(pair: Pair) -> Row:
    seconds = [await pair.theirs.round_trip() for _ in range(_ROUND_TRIPS)]
    how = f"to {pair.peer.title} and back, as each first token there includes"
    median = 1e3 * statistics.median(seconds)
    return Row(_ROUND_TRIP, median, "ms", f"{how} (median of {_ROUND_TRIPS})")


def _read(counts: Counts | None, ours: Counts) -> int:
    """Return the tokens that were read; what a side does not report is taken from ours."""
    if counts is None:
        return ours.prompt
    return counts.prompt if counts.read is None else counts.read
