"""Running programs without a shell, for what they print: linters, type checkers, git, pytest."""

import os
import tempfile
from contextlib import nullcontext
from typing import IO

import anyio

from punie.workspace.base import ProgramRequest, ProgramResult
from punie.workspace.commands import END_GRACE_SECONDS, start_launch
from punie.workspace.memory import MemoryWatch
from punie.workspace.processes import ProcessGroup, end_group
from punie.workspace.sandbox.confining import Launch

NO_UV = {"UV": os.devnull}
"""Environment of ty, which a project's settings can tell to build the environment of a script with
uv: that runs the code of any package, and the uv that comes first on PATH is the project's."""

_SHORTEST_POLL_SECONDS = 0.001
_LONGEST_POLL_SECONDS = 0.02


async def run_program(
    request: ProgramRequest, launch: Launch, groups: set[ProcessGroup]
) -> ProgramResult:
    """Run a program to its end, its timeout or its limit of output, and end all that it started.

    `launch` is how it is started, with all of its environment. Raises `WorkspaceError` if
    it cannot be started. Cancelling ends it.
    """
    # Files and not pipes: nothing has to be read while it runs, and a child that was left behind
    # with an open end keeps nobody waiting.
    with (
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as stdout,
        tempfile.TemporaryFile() as stderr,
    ):
        given.write(request.stdin)
        given.seek(0)
        group = start_launch(
            launch, stdout=stdout.fileno(), stderr=stderr.fileno(), stdin=given.fileno()
        )
        groups.add(group)
        try:
            with MemoryWatch(group) if request.memory_bounded else nullcontext() as memory:
                ended = await _wait(group, request, stdout, stderr)
        finally:
            await end_group(group, 0 if group.leader.poll() is not None else END_GRACE_SECONDS)
            groups.discard(group)
        too_large = memory is not None and memory.exceeded
        flooded = _size(stdout) > request.output_limit or _size(stderr) > request.output_limit
        return ProgramResult(
            exit_code=group.exit_code if ended and not too_large else None,
            stdout=_text(stdout, request.output_limit),
            stderr=_text(stderr, request.output_limit),
            timed_out=not ended and not flooded,
            flooded=flooded,
        )


async def _wait(
    group: ProcessGroup, request: ProgramRequest, stdout: IO[bytes], stderr: IO[bytes]
) -> bool:
    """Wait for the program; False if it did not end by itself within its bounds."""
    deadline = anyio.current_time() + request.timeout
    poll = _SHORTEST_POLL_SECONDS
    while group.leader.poll() is None:
        if anyio.current_time() >= deadline:
            return False
        if max(_size(stdout), _size(stderr)) > request.output_limit:
            return False
        await anyio.sleep(poll)
        poll = min(poll * 1.5, _LONGEST_POLL_SECONDS)
    return True


def _size(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size


def _text(file: IO[bytes], limit: int) -> str:
    file.seek(0)
    return file.read(limit).decode("utf-8", errors="surrogateescape")
