"""From the start of a process to its first token, with weights in memory and from the disk.

The process has nothing but the model and one short question. The engine of this process lets its
own weights go meanwhile.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import anyio

from punie.models.mlx.bench import first_answer
from punie.models.mlx.bench.page_cache import drop_from_memory, share_in_memory, weight_files
from punie.models.mlx.bench.rows import BenchError, Finding, Row, Skipped
from punie.models.mlx.bench.suite import Subject

QUESTION = "Hello"
WARM = "cold start, weights in memory"
COLD = "cold start, weights from the disk"
RUNS = 5
COLD_RUNS = 3
_MOST_SECONDS = 600.0
_STILL_HELD = 0.05


async def measure(subject: Subject) -> list[Finding]:
    """Start processes, with the weights in memory and without."""
    await subject.model.engine.rest()
    files = weight_files(subject.path)
    findings: list[Finding] = []
    subject.say("weights in memory")
    await our_start(subject)  # now the system holds them, and the program
    warm = [await our_start(subject) for _ in range(RUNS)]
    how = f"to the first token of a process of its own (median of {RUNS}), {held(files)}"
    findings.append(Row(WARM, statistics.median(warm), "s", how))
    cold = []
    for run in range(COLD_RUNS):
        subject.say(f"weights from the disk, run {run + 1} of {COLD_RUNS}")
        if reason := let_go(files):
            return [*findings, Skipped(COLD, reason)]
        cold.append(await our_start(subject))
    how = f"the same with weights that are read from the disk (median of {COLD_RUNS})"
    return [*findings, Row(COLD, statistics.median(cold), "s", how)]


def held(files: list[Path]) -> str:
    """Say how much of the weights the system holds in memory."""
    try:
        return f"{100 * share_in_memory(files):.0f}% of the weights in the system's memory"
    except OSError:
        return "the system does not tell how much of the weights it held in memory"


def let_go(files: list[Path]) -> str:
    """Let the system forget the weights; return why they are still in memory, or nothing."""
    if not drop_from_memory(files):
        return "this system does not let go of files that were read; restart the machine for that"
    try:
        still = share_in_memory(files)
    except OSError as error:
        return str(error.strerror)
    if still > _STILL_HELD:
        return f"the system still holds {100 * still:.0f}% of the weights in memory"
    return ""


async def our_start(subject: Subject) -> float:
    """Start a process of ours; return the seconds to its first token."""
    command = [sys.executable, "-m", first_answer.__name__, str(subject.path), QUESTION]
    with tempfile.TemporaryFile() as errors:
        begin = time.perf_counter()
        process = await anyio.open_process(
            command,
            stdin=subprocess.DEVNULL,
            stderr=errors,
            env={**os.environ, **subject.environment},
            start_new_session=True,  # a Ctrl-C is for us; we end it
        )
        # Leaving ends a process that is still there.
        async with process:
            assert process.stdout is not None
            said = b""
            with anyio.move_on_after(_MOST_SECONDS), suppress(anyio.EndOfStream):
                while not said.endswith(b"\n"):
                    said += await process.stdout.receive()
            seconds = time.perf_counter() - begin
            if said.decode().strip() == first_answer.READY:
                return seconds
            with suppress(ProcessLookupError):
                process.kill()
        errors.seek(0)
        lines = errors.read().decode(errors="replace").strip().splitlines()
    raise BenchError(f"a process with the model did not answer ({(lines or ['no word'])[-1]})")
