"""Undo in random sequences, and what a look through a tree of 100,000 files takes.

Every sequence is turns of tools and commands, changes of the person, undo, redo and restarts, after
each of which all files are compared with a model; one difference ends it with an error:

    python tests/bench/bench_undo.py [--sequences N] [--files N]
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import anyio
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from punie.workspace.base import CommandRequest
from punie.workspace.checkpoints.recorder import Recorder
from punie.workspace.checkpoints.tree import Tree, differences, scan
from punie.workspace.checkpoints.workspace import CheckpointedWorkspace
from punie.workspace.local import LocalWorkspace
from tests.agent.undo_machine import UndoMachine
from tests.bench.bench_files import make_tree


def sequences(number: int) -> None:
    """Run the sequences and print what happened in them."""
    started = time.perf_counter()
    run_state_machine_as_test(
        UndoMachine,
        settings=settings(
            max_examples=number,
            stateful_step_count=15,
            deadline=None,
            database=None,
            suppress_health_check=[*HealthCheck],
        ),
    )
    print(f"no difference in {time.perf_counter() - started:.0f} s")
    for name, count in UndoMachine.seen.most_common():
        print(f"  {name:<12} {count:>7,}")


def megabytes() -> float:
    """Return the most memory that this process had so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 if sys.platform != "darwin" else peak / 1024**2


def scans(files: int) -> None:
    """Look through a tree for the first time and again, and take a command back in it."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "project")
        root.mkdir()
        make_tree(root, files)
        before = megabytes()
        tree, first = timed(root, None)
        warm = []
        for _ in range(5):
            again, seconds = timed(root, tree)
            assert not list(differences(tree, again))
            tree = again
            warm.append(seconds)
        count = sum(1 for _ in tree.paths())
        print(f"{count:,} files and folders")
        print(f"  first look   {first * 1000:>7.0f} ms")
        print(f"  warm look    {sorted(warm)[2] * 1000:>7.0f} ms (median of 5)")
        print(f"  memory       {megabytes() - before:>7.0f} MB")
        anyio.run(command, root, Path(folder, "kept", "session"))


def timed(root: Path, before: Tree | None) -> tuple[Tree, float]:
    """Look through a tree; return it and how many seconds that took."""
    started = time.perf_counter()
    tree = scan(root, before)
    return tree, time.perf_counter() - started


async def command(root: Path, kept: Path) -> None:
    """Time what a first and a second command take with and without being watched."""
    workspace = CheckpointedWorkspace(LocalWorkspace([root]), Recorder(kept))
    request = CommandRequest("true", root, 60)
    for name in ("first", "second", "third"):
        started = time.perf_counter()
        async with workspace.watch.around():
            await workspace.run(request)
        print(f"  {name} command {(time.perf_counter() - started) * 1000:>6.0f} ms")
    started = time.perf_counter()
    await workspace.run(request)
    print(f"  unwatched     {(time.perf_counter() - started) * 1000:>6.0f} ms")
    await workspace.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=500)
    parser.add_argument("--files", type=int, default=100_000)
    given = parser.parse_args()
    if given.files:
        scans(given.files)
    if given.sequences:
        sequences(given.sequences)


if __name__ == "__main__":
    main()
