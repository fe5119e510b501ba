"""Eight sessions at once against one: tokens per second of all together, and what they write.

On Linux also with OpenBLAS in front of the BLAS of MLX's wheel, in a process of its own, because
it has to be there before MLX is loaded.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import anyio

from punie.models.mlx.bench.answers import generate
from punie.models.mlx.bench.rows import Finding, Limit, Row, Skipped
from punie.models.mlx.bench.suite import Subject
from punie.models.mlx.engine import Engine
from punie.models.mlx.generation import GenerateRequest

SESSIONS = 8
_NAME = f"{SESSIONS} sessions at once"
_TOKENS = 96
_PROMPT = 24
_RUNS = 3
_CHILD = "punie.models.mlx.bench.batch_process"
_CHILD_SECONDS = 300.0
_LIMIT = Limit("at least", 2.5)
"""Where a pass is bound by reading the weights, and not by a slow BLAS."""


@dataclass(frozen=True)
class BatchSpeeds:
    """Tokens per second of one session and of all, and how many wrote the same as alone."""

    one: float
    all: float
    same: int


async def measure(subject: Subject) -> list[Finding]:
    """Measure in this process, and on Linux with OpenBLAS in another one."""
    speeds = await batch_speeds(subject.model.engine, subject.say)
    # The wheel's own BLAS makes a wide pass cost almost as much as its rows one by one.
    wanted = subject.bundled_limit(_LIMIT)
    findings: list[Finding] = [_row(_NAME, speeds, None if sys.platform == "linux" else wanted)]
    same = speeds.same
    if sys.platform == "linux":
        name = f"{_NAME}, OpenBLAS"
        subject.say("with OpenBLAS")
        fast = await _with_openblas(subject) if subject.fits_twice else "there is no memory for it"
        if isinstance(fast, str):
            findings.append(Skipped(name, fast))
        else:
            findings.append(_row(name, fast, wanted))
            same = min(same, fast.same)
    findings.append(
        Row(
            "written as alone",
            100 * same / SESSIONS,
            "%",
            f"of {SESSIONS} sessions with {_TOKENS} tokens each, greedily",
            subject.bundled_limit(Limit("at least", 100.0)),
        )
    )
    return findings


def _row(name: str, speeds: BatchSpeeds, limit: Limit | None) -> Row:
    return Row(
        name,
        speeds.all / speeds.one,
        "times",
        f"the speed of one ({speeds.all:.0f} and {speeds.one:.0f} tokens/s, medians of {_RUNS})",
        limit,
    )


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


async def _with_openblas(subject: Subject) -> BatchSpeeds | str:
    """Measure in a process with OpenBLAS; return why not, if it cannot be done."""
    command = [sys.executable, "-m", _CHILD, str(subject.path)]
    with anyio.move_on_after(_CHILD_SECONDS):
        done = await anyio.run_process(command, stdin=subprocess.DEVNULL, check=False)
        if done.returncode == 0:
            return BatchSpeeds(**json.loads(done.stdout))
        said = done.stderr.decode(errors="replace").strip().splitlines()
        return (said or ["the process that has it failed"])[-1]
    return f"the process that has it took longer than {_CHILD_SECONDS:.0f} s"
