"""Searching, finding, reading and editing in a tree of 100,000 files, against ripgrep's own time.

The tree is made in a temporary folder and removed afterwards. Every ratio is the median of several
pairs, ours and ripgrep's by turns, so that a machine that grows slower slows both:

    python tests/bench/bench_files.py [--files N] [--rounds N]
"""

import argparse
import gc
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import anyio

from punie.models.mlx.bench.rows import Limit, Row, all_hold
from punie.tools.base import AnyTool, ReadLedger, ToolContext
from punie.tools.edit_file import EDIT_FILE
from punie.tools.find_files import FIND_FILES
from punie.tools.list_dir import LIST_DIR
from punie.tools.read_file import READ_FILE
from punie.tools.search import SEARCH
from punie.workspace.local import LocalWorkspace
from punie.workspace.ripgrep import find_ripgrep

FILES = 100_000
ROUNDS = 9
AT_MOST = Limit("at most", 1.2)
"""Times ripgrep's own time, for what a model waits for."""

GROWTH = Limit("at most", 2.0)
"""Megabytes that a process may grow by over hundreds of calls after the first ones."""

_WALK = ("--no-config", "--hidden", "--no-require-git", "--no-messages")
_VERBS = ("get", "set", "make", "load", "send", "find", "read")
_NOUNS = ("user", "item", "page", "model", "cache", "event", "row")
_WORDS = [f"{verb}_{noun}" for verb in _VERBS for noun in _NOUNS]
_PER_FOLDER = 50


def make_tree(root: Path, files: int) -> None:
    """Fill a folder with small Python files; a few hold a needle, some are ignored."""
    chosen = random.Random(5)
    (root / ".gitignore").write_text("build/\n*.log\n")
    for number in range(files):
        group, folder = divmod(number // _PER_FOLDER, 40)
        name = "build" if number % 20 == 0 else f"part_{folder:02}"
        where = root / f"package_{group:03}" / name
        where.mkdir(parents=True, exist_ok=True)
        lines = [
            f"def {chosen.choice(_WORDS)}_{chosen.randrange(1000)}(value):\n"
            f"    return {chosen.choice(_WORDS)}(value, {chosen.randrange(10**6)})\n"
            for _ in range(chosen.randrange(1, 12))
        ]
        if number % 2500 == 7:
            lines.append("needle = 'in the haystack'\n")
        (where / f"module_{number:06}.py").write_text("\n".join(lines))


class Tools:
    """The real tools on the tree."""

    def __init__(self, root: Path) -> None:
        self.context = ToolContext(LocalWorkspace([root]), ReadLedger())

    async def call(self, tool: AnyTool, **arguments: Any) -> str:
        """Present a call and run it, as the agent does; return what the model reads."""
        parsed = tool.arguments.model_validate(arguments)
        await tool.present(self.context, parsed)
        return (await tool.run(self.context, parsed)).text


async def _timed(call: Callable[[], Awaitable[object]]) -> float:
    begin = time.perf_counter()
    await call()
    return time.perf_counter() - begin


def _ripgrep(root: Path, *arguments: str) -> float:
    """Return how long ripgrep itself takes, from its start until all that it says was read."""
    begin = time.perf_counter()
    subprocess.run(
        [str(find_ripgrep()), *_WALK, *arguments, "./"], cwd=root, capture_output=True, check=False
    )
    return time.perf_counter() - begin


async def _against(
    name: str, root: Path, rounds: int, call: Callable[[], Awaitable[object]], *own: str
) -> Row:
    """Compare a call with ripgrep's own run, by turns."""
    await call()
    _ripgrep(root, *own)
    ours, theirs = [], []
    for _ in range(rounds):
        theirs.append(_ripgrep(root, *own))
        ours.append(await _timed(call))
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    compared = (
        f"ripgrep's own time ({statistics.median(ours) * 1e3:.0f} ms against "
        f"{statistics.median(theirs) * 1e3:.0f} ms, median of {rounds})"
    )
    return Row(name, ratio, "times", compared, AT_MOST)


def _resident() -> float:
    """Return the megabytes of memory that this process holds, or its peak where that is unknown."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1e6
    except OSError:
        unit = 1e6 if sys.platform == "darwin" else 1e3
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


async def _memory(tools: Tools, path: str) -> Row:
    async def once() -> None:
        await tools.call(SEARCH, pattern="needle")
        await tools.call(FIND_FILES, pattern="*.py")
        await tools.call(READ_FILE, path=path)
        await tools.call(LIST_DIR)

    for _ in range(20):
        await once()
    gc.collect()
    before = _resident()
    for _ in range(60):
        await once()
    gc.collect()
    return Row("memory", _resident() - before, "MB", "more after 240 further calls", GROWTH)


async def measure(root: Path, rounds: int) -> Sequence[Row]:
    """Take all figures of a tree."""
    tools = Tools(root)
    path = next(root.rglob("module_*7.py")).relative_to(root).as_posix()
    first = (root / path).read_text().split("\n")[0]
    turn = iter(range(10**9))

    async def edit() -> None:
        old, new = (first, first + "  # x") if next(turn) % 2 == 0 else (first + "  # x", first)
        edits = [{"old_text": old + "\n", "new_text": new + "\n"}]
        await tools.call(EDIT_FILE, path=path, edits=edits)

    found = await tools.call(SEARCH, pattern="needle")
    assert "needle = 'in the haystack'" in found, found
    few = ("--fixed-strings", "--line-number", "-e", "needle")
    rows = [
        await _against(
            "search, few matches",
            root,
            rounds,
            lambda: tools.call(SEARCH, pattern="needle"),
            *few,
        ),
        await _against(
            "search, matches everywhere",
            root,
            rounds,
            lambda: tools.call(SEARCH, pattern="return"),
            *("--fixed-strings", "--line-number", "-e", "return"),
        ),
        await _against(
            "search, counts",
            root,
            rounds,
            lambda: tools.call(SEARCH, pattern="needle", counts=True),
            *("--fixed-strings", "--count", "-e", "needle"),
        ),
        await _against(
            "find_files, a glob",
            root,
            rounds,
            lambda: tools.call(FIND_FILES, pattern="module_*77.py"),
            *("--files", "--iglob=module_*77.py", "--glob=!.git"),
        ),
        await _against(
            "find_files, every file",
            root,
            rounds,
            lambda: tools.call(FIND_FILES, pattern="*.py"),
            *("--files", "--iglob=*.py", "--glob=!.git"),
        ),
        # What they do has no like in ripgrep; they are held against its search with few matches.
        await _against("list_dir", root, rounds, lambda: tools.call(LIST_DIR), *few),
        await _against("read_file", root, rounds, lambda: tools.call(READ_FILE, path=path), *few),
        await _against("edit_file, checked", root, rounds * 2, edit, *few),
        await _memory(tools, path),
    ]
    await tools.context.workspace.aclose()
    return rows


def main() -> int:
    """Measure and print; 1 when a limit is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, default=FILES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="punie-bench-"))
    try:
        make_tree(root, given.files)
        print(f"{given.files} files")
        rows = anyio.run(measure, root, given.rounds)
        for row in rows:
            print(row.line())
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return int(not all_hold(rows))


if __name__ == "__main__":
    sys.exit(main())
