"""What the validators say of code that others wrote, and how long they take.

Every installed package below is copied into a project of its own; all issues are printed, to be
looked at by a person. A package that is none of the listed ones can be named:

    python tests/bench/bench_validators.py [PACKAGE...]
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path

import anyio

from punie.tools.python.targets import Target
from punie.tools.validators.running import load_validators, validate
from punie.tools.validators.tool import row
from punie.workspace.local import LocalWorkspace

PACKAGES = ("starlette", "anyio", "structlog", "uvicorn", "click", "typer", "jsonschema")
MAX_ISSUES = 3
"""All packages together: more than that are false alarms, or the packages have changed."""
MAX_SECONDS_PER_FILE = 0.25


async def run(package: str) -> tuple[int, int, float]:
    """Print a package's issues; return their number, that of its files and the seconds taken."""
    source = Path(anyio.__file__).parents[1] / package
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.copytree(source, root / package)
        workspace = LocalWorkspace([root])
        validators, notes = load_validators(())
        started = time.perf_counter()
        outcome = await validate(workspace, Target(root, root), validators, notes)
        seconds = time.perf_counter() - started
        await workspace.aclose()
    print(f"{package}: {outcome.checked} files, {seconds:.1f} s, {len(outcome.found)} issues")
    for line in (*map(row, outcome.found), *outcome.notes):
        print(f"  {line}")
    return len(outcome.found), outcome.checked, seconds


def main() -> int:
    """Run all; 1 when a limit is missed."""
    named = sys.argv[1:]
    results = [anyio.run(run, package) for package in named or PACKAGES]
    issues = sum(result[0] for result in results)
    seconds = sum(result[2] for result in results) / max(sum(result[1] for result in results), 1)
    print(f"{issues} issues (limit {MAX_ISSUES}), {seconds:.3f} s a file ({MAX_SECONDS_PER_FILE})")
    return int(not named and (issues > MAX_ISSUES or seconds > MAX_SECONDS_PER_FILE))


if __name__ == "__main__":
    sys.exit(main())
