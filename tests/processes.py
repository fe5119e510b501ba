"""Processes as the system sees them, for commands whose own numbers are those of a sandbox."""

import os
import subprocess

SLEEP = f"sleep 987.{os.getpid()}"
"""A long sleep that no other process of this machine does, for `sleeping`."""


def sleeping() -> list[int]:
    """Return the processes that do `SLEEP`, and the shells and sandboxes around them."""
    return processes_of(SLEEP.split()[1])


def processes_of(mark: str) -> list[int]:
    """Return the numbers of the processes that run with this word, complete, among their arguments.

    One that has ended and waits for its parent is none.
    """
    shown = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,stat=,args="], capture_output=True, text=True, check=True
    )
    rows = [line.split() for line in shown.stdout.splitlines()]
    return [int(row[0]) for row in rows if mark in row[2:] and not row[1].startswith("Z")]
