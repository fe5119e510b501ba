"""What the sandbox adds to a command that does nothing.

Confined and unconfined runs take turns, so that a busy machine slows both; the limit is for the
difference of their medians.

    python tests/bench/bench_sandbox.py
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anyio

from punie.workspace.base import CommandRequest
from punie.workspace.local import LocalWorkspace
from punie.workspace.sandbox.detect import NoSandbox, fault_of, find_sandbox
from punie.workspace.sandbox.view import SandboxOptions, view_of

ROUNDS = 40
MAX_ADDED_SECONDS = 0.025


async def run(root: Path) -> float:
    """Print the medians and return what the sandbox adds, in seconds."""
    workspace = LocalWorkspace([root], SandboxOptions())
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(ROUNDS):
        for unsandboxed in (True, False):
            request = CommandRequest("true", root, 30.0, unsandboxed=unsandboxed)
            started = time.perf_counter()
            result = await workspace.run(request)
            seconds[unsandboxed].append(time.perf_counter() - started)
            assert result.exit_code == 0
    await workspace.aclose()
    inside, outside = (statistics.median(seconds[each]) for each in (False, True))
    print(f"`true` confined {inside * 1e3:.1f} ms, unconfined {outside * 1e3:.1f} ms")
    return inside - outside


def main() -> int:
    """Run it; 1 when the limit is missed."""
    found = find_sandbox()
    if isinstance(found, NoSandbox):
        print(f"no sandbox works here: {found.reason}")
        return 0
    started = time.perf_counter()
    assert fault_of(found) is None
    print(f"{found.name}; trying it out takes {(time.perf_counter() - started) * 1e3:.1f} ms")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(os.path.realpath(folder))
        subprocess.run(["git", "init", "-q", folder], check=True)
        started = time.perf_counter()
        view_of([root], SandboxOptions(), os.environ, root, ())
        print(f"what is to be seen is found in {(time.perf_counter() - started) * 1e3:.1f} ms")
        added = anyio.run(run, root)
    print(f"the sandbox adds {added * 1e3:.1f} ms (limit {MAX_ADDED_SECONDS * 1e3:.0f})")
    return int(added > MAX_ADDED_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
