"""What code mode costs beside the calls that the code makes.

The sandbox is started for each run, as in a session; the calls of the code do nothing:

    python tests/bench/bench_code_mode.py [--runs 20]
"""

import argparse
import statistics
import sys
import time
from collections.abc import Awaitable, Callable

import anyio

from punie.models.mlx.bench.rows import Finding, Limit, Row, all_hold
from punie.tools.catalog import ALL_TOOLS
from punie.tools.code.functions import library
from punie.tools.code.sandbox import Call, CodeLimits, Finished, Output, run_sandboxed

CALLS = 200
LIMITS = CodeLimits(calls=CALLS)


async def _median(runs: int, work: Callable[[], Awaitable[object]]) -> float:
    """Return the median of some runs in milliseconds; the first, which imports, does not count."""
    await work()
    taken = []
    for _ in range(runs):
        begin = time.perf_counter()
        await work()
        taken.append((time.perf_counter() - begin) * 1_000)
    return statistics.median(taken)


async def measure(runs: int) -> list[Finding]:
    """Return the figures."""
    tools = library(ALL_TOOLS)

    async def nothing(args: object, kwargs: object) -> str:
        return "text"

    functions: dict[str, Call] = {function.name: nothing for function in tools.functions}

    async def run(code: str) -> None:
        ended = await run_sandboxed(code, functions, tools.checked, LIMITS, Output(1_000))
        if not isinstance(ended, Finished):
            raise SystemExit(f"the code did not end well: {ended}")

    async def make() -> None:
        library(ALL_TOOLS)

    empty = await _median(runs, lambda: run("1"))
    many = await _median(
        runs, lambda: run(f"for n in range({CALLS}):\n    read_file('a.py', start_line=n)")
    )
    made = await _median(runs, make)
    return [
        Row("Start, check and end of a run", empty, "ms", "for code of one line", _most(500)),
        Row("A call", (many - empty) / CALLS, "ms", f"one of {CALLS} in a run", _most(5)),
        Row("Functions of all tools", made, "ms", f"for {len(ALL_TOOLS)} tools", _most(100)),
    ]


def _most(value: float) -> Limit:
    return Limit("at most", value)


def main() -> int:
    """Measure and print; 1 when a limit is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    findings = anyio.run(measure, parser.parse_args().runs)
    for finding in findings:
        print(finding.line())
    return int(not all_hold(findings))


if __name__ == "__main__":
    sys.exit(main())
