"""How fast a prompt is read that nobody has read before, and how soon its first token is there."""

import statistics

from punie.models.mlx.bench.prompts import NewPrompts
from punie.models.mlx.bench.rows import BenchError, Finding, Row
from punie.models.mlx.bench.sides import Ours, Question, listen
from punie.models.mlx.bench.suite import Subject

RUNS = 5
SLOW_SECONDS = 4.0
"""Where a prompt takes longer it is read a few times only, and none four times as long."""
SLOW_RUNS = 2


async def measure(subject: Subject) -> list[Finding]:
    """Read new prompts of several lengths."""
    side, prompts = Ours(subject.model), NewPrompts(subject.model)
    rows: list[Finding] = []
    for length in prompts.lengths:
        rates, seconds, read = [], [], 0
        runs = RUNS
        for run in range(RUNS + 1):
            if run > runs:
                break
            subject.say(f"{length:,} tokens, run {run + 1} of {runs + 1}")
            question = Question(await prompts.of(length), 1, owner=f"bench-prefill-{run}")
            heard = await listen(side, question)
            if not run and heard.first > SLOW_SECONDS:
                runs = SLOW_RUNS
            if run:  # the first one warms it up
                assert heard.counts is not None
                read = heard.counts.read or 0
                seconds.append(heard.first)
                rates.append(read / heard.first)
        first = 1e3 * statistics.median(seconds)
        how = f"of {read:,} new ones; first token after {first:,.1f} ms (medians of {runs})"
        rows.append(Row(f"reading {length:,} tokens", statistics.median(rates), "tokens/s", how))
        if statistics.median(seconds) > SLOW_SECONDS:
            break
    if not rows:
        raise BenchError("the model's window is too short")
    return rows
