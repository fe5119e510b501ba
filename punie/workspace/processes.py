"""The process groups that this program started and has to end.

Every child is the leader of a session of its own, so that its process group holds all that it
starts. A group stays registered until nothing of it is left, background children included.
"""

import contextlib
import os
import signal
import time
from dataclasses import dataclass

import anyio

_POLL_SECONDS = 0.02


@dataclass(eq=False)
class ProcessGroup:
    """A process group by its number, which is the process id of its leader.

    `leader_reaped` is set once the leader has been waited for. From then on its number could
    belong to a stranger, which `signal_group` finds out before it sends anything.
    """

    number: int
    leader_reaped: bool = False


_live: set[ProcessGroup] = set()


def live_groups() -> frozenset[int]:
    """Return the numbers of the groups of which something is left."""
    return frozenset(group.number for group in tuple(_live) if signal_group(group, 0))


def register_group(number: int) -> ProcessGroup:
    """Remember the group of a child that was started in a session of its own."""
    group = ProcessGroup(number)
    _live.add(group)
    return group


def forget_group(group: ProcessGroup) -> None:
    """Drop a group of which nothing is left."""
    _live.discard(group)


def signal_group(group: ProcessGroup, number: int) -> bool:
    """Send a signal (0 only asks) to the whole group; return False when nothing of it is left."""
    try:
        if group.leader_reaped and _exists(group.number):
            # While a member of our group lives, the system does not give its number to a new
            # process; a process with this number is therefore a stranger.
            return False
        os.killpg(group.number, number)
    except (ProcessLookupError, PermissionError):
        # macOS answers EPERM for a group of which only zombies are left.
        return False
    return True


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
        alive = signal_group(group, signal.SIGTERM)
        deadline = anyio.current_time() + grace
        while alive and anyio.current_time() < deadline:
            await anyio.sleep(_POLL_SECONDS)
            alive = signal_group(group, 0)
        if alive:
            signal_group(group, signal.SIGKILL)
        forget_group(group)


def end_all_process_groups(grace: float = 0.3) -> None:
    """End every process group that is still alive, waiting at most `grace` seconds in all.

    Blocks and never raises; meant for the way out of the program, signal handlers included. It
    takes no lock, so it can interrupt any other function here.
    """
    pending = {group for group in tuple(_live) if signal_group(group, signal.SIGTERM)}
    deadline = time.monotonic() + grace
    while pending and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        pending = {group for group in pending if _running(group)}
    for group in pending:
        signal_group(group, signal.SIGKILL)
    _live.clear()


def _running(group: ProcessGroup) -> bool:
    if not group.leader_reaped:
        # A leader that has ended but was not waited for still counts as alive for killpg.
        with contextlib.suppress(ChildProcessError):
            ended = os.waitid(os.P_PID, group.number, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is not None and not _has_other_members(group.number):
                return False
    return signal_group(group, 0)


def _has_other_members(group: int) -> bool:
    """Tell whether a process other than the leader may be in the group; True when unknown."""
    try:
        processes = [name for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208
    except OSError:
        return True
    for process in processes:
        with contextlib.suppress(OSError):
            if int(process) != group and os.getpgid(int(process)) == group:
                return True
    return False
