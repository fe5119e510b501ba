"""The process groups that this program started and has to end.

Every child is the leader of a session of its own, so that its process group holds all that it
starts. A group stays registered until nothing of it is left, background children included.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio

from punie.workspace.watcher import start_watcher, unwatch_group, watch_group

_POLL_SECONDS = 0.02
_REAP_SECONDS = 2.0


@dataclass(eq=False, frozen=True)
class ProcessGroup:
    """A child and all that it started; the group's number is the child's process id.

    A `monitored` group's child only waits for the others, ends when they have, and passes on how.
    """

    leader: subprocess.Popen[bytes]
    monitored: bool = False

    @property
    def number(self) -> int:
        """The number of the group."""
        return self.leader.pid

    @property
    def exit_code(self) -> int | None:
        """How the child ended, None before that; a signal is 128 and its number, as in shells."""
        code = self.leader.poll()
        return code if code is None or code >= 0 else 128 - code


_live: set[ProcessGroup] = set()
# How many children are being started right now: at most one, unless threads start some.
_starting: list[object] = []


def start_group(
    arguments: Sequence[str],
    cwd: Path,
    *,
    stdout: int,
    stderr: int,
    stdin: int = subprocess.DEVNULL,
    environment: Mapping[str, str] | None = None,
    monitored: bool = False,
) -> ProcessGroup:
    """Start a program in a session and process group of its own, with nothing on its input.

    `stdout` and `stderr`, and `stdin` if there is to be an input, are file descriptors. Raises
    `OSError` or `ValueError` as `subprocess.Popen` does.
    """
    start_watcher()
    mark = object()
    _starting.append(mark)
    try:
        # Not through the event loop: between its fork and our first sight of the child it runs
        # other things, and a child that is not registered cannot be ended.
        group = ProcessGroup(
            subprocess.Popen(
                arguments,
                cwd=cwd,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=environment,
                start_new_session=True,
            ),
            monitored,
        )
        _live.add(group)
        watch_group(group.number)
    finally:
        _starting.remove(mark)
    return group


def live_groups() -> frozenset[int]:
    """Return the numbers of the groups of which something is left."""
    return frozenset(group.number for group in tuple(_live) if is_alive(group))


def forget_group(group: ProcessGroup) -> None:
    """Drop a group of which nothing is left, or nothing that can be ended."""
    _live.discard(group)
    unwatch_group(group.number)


def is_alive(group: ProcessGroup) -> bool:
    """Tell whether a process of the group is left; collects the leader's exit code on the way."""
    group.leader.poll()
    return signal_group(group, 0)


def signal_group(group: ProcessGroup, number: int) -> bool:
    """Send a signal (0 only asks) to the whole group; return False when nothing of it is left."""
    try:
        if group.leader.returncode is not None and _exists(group.number):
            # The leader was collected, so its number may be given away, but not while a member of
            # its group lives. A process with this number is therefore a stranger.
            return False
        if number and group.monitored and _signal_members(group.number, number):
            return True
        os.killpg(group.number, number)
    except (ProcessLookupError, PermissionError):
        # macOS answers EPERM for a group of which only zombies are left.
        return False
    return True


def _signal_members(group: int, number: int) -> bool:
    """Send a signal to all of a group but its leader; return False when there is nobody else.

    Only Linux has such groups.
    """
    found = False
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) == group:
            continue
        with contextlib.suppress(OSError, IndexError):
            with open(f"/proc/{entry.name}/stat", "rb") as file:  # noqa: PTH123
                # The name in parentheses may hold anything; after it: state, parent, group.
                state, _, its_group = file.read().rpartition(b")")[2].split()[:3]
            if int(its_group) == group and state not in (b"Z", b"X"):
                os.kill(int(entry.name), number)
                found = True
    return found


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


async def end_group(group: ProcessGroup, grace: float) -> None:
    """Ask the group to end and, after `grace` seconds, kill it. Not interrupted by cancellation."""
    with anyio.CancelScope(shield=True):
        signal_group(group, signal.SIGTERM)
        deadline = anyio.current_time() + grace
        while (alive := is_alive(group)) and anyio.current_time() < deadline:
            await anyio.sleep(_POLL_SECONDS)
        if alive:
            signal_group(group, signal.SIGKILL)
        # A process in an uninterruptible system call outlives even SIGKILL for a while.
        with anyio.move_on_after(_REAP_SECONDS):
            while group.leader.poll() is None:
                await anyio.sleep(_POLL_SECONDS)
        forget_group(group)


def end_all_process_groups(grace: float = 0.3) -> None:
    """End every process group that is still alive, waiting at most `grace` seconds in all.

    Blocks and never raises; meant for the way out of the program, signal handlers included. It
    waits for no lock, so it can interrupt any other function here.
    """
    if _starting:
        # We interrupted the start of a child, whose number nobody has been told yet.
        for process in _own_session_leaders():
            with contextlib.suppress(OSError):
                os.killpg(process, signal.SIGKILL)
    pending = {group for group in tuple(_live) if signal_group(group, signal.SIGTERM)}
    deadline = time.monotonic() + grace
    while (pending := {group for group in pending if is_alive(group)}) and (
        time.monotonic() < deadline
    ):
        time.sleep(_POLL_SECONDS)
    for group in pending:
        signal_group(group, signal.SIGKILL)
    _live.clear()


def _own_session_leaders() -> list[int]:
    """Return the children of this process that lead a session and are not registered."""
    try:
        shown = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    pairs = [tuple(map(int, line.split())) for line in shown.stdout.splitlines()]
    known = {group.number for group in tuple(_live)}
    found: list[int] = []
    for process, parent in pairs:
        if parent == os.getpid() and process not in known:
            with contextlib.suppress(OSError):
                if os.getsid(process) == process:
                    found.append(process)
    return found
