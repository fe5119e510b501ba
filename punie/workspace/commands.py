"""Running shell commands: own process group, streamed and capped output, timeout, cancellation."""

import codecs
import contextlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio

from punie.workspace.base import CommandRequest, CommandResult, OutputSink, WorkspaceError
from punie.workspace.processes import (
    ProcessGroup,
    end_group,
    forget_group,
    is_alive,
    start_group,
)
from punie.workspace.program_lookup import locate_program
from punie.workspace.sandbox.confining import Launch
from punie.workspace.text_files import reason

END_GRACE_SECONDS = 1.0
"""How long a command that timed out or was cancelled may take to end by itself."""

_CHUNK_BYTES = 65_536
_TICK_SECONDS = 0.05
_POLL_SECONDS = 0.01
_SHORTEST_POLL_SECONDS = 0.001
_AFTER_EXIT_SECONDS = 0.5


class CappedOutput:
    """Keeps the first and the last bytes of a stream and counts what it drops between them."""

    def __init__(self, limit: int) -> None:
        """Keep at most `limit` bytes: a quarter from the start, the rest from the end."""
        self._head_limit = limit // 4
        self._tail_limit = limit - self._head_limit
        self._head = bytearray()
        self._tail = bytearray()
        self.omitted = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        room = self._head_limit - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        excess = len(self._tail) - self._tail_limit
        if excess > 0:
            del self._tail[:excess]
            self.omitted += excess

    def text(self) -> str:
        """Return what was kept, with a line in the middle that says how much is missing."""
        if not self.omitted:
            return (self._head + self._tail).decode("utf-8", errors="replace")
        # A character cut in two at the gap is dropped, not shown as a broken one.
        head = codecs.getincrementaldecoder("utf-8")("replace").decode(bytes(self._head))
        start = 0
        while start < min(3, len(self._tail)) and self._tail[start] & 0xC0 == 0x80:
            start += 1
        tail = self._tail[start:].decode("utf-8", errors="replace")
        return f"{head}\n[{self.omitted} bytes omitted]\n{tail}"


def start(
    arguments: list[str],
    cwd: Path,
    *,
    stdout: int,
    stderr: int,
    stdin: int = subprocess.DEVNULL,
    environment: Mapping[str, str] | None = None,
    monitored: bool = False,
) -> ProcessGroup:
    """Start a program as `start_group` does; raise `WorkspaceError` when it cannot be started."""
    try:
        return start_group(
            arguments,
            cwd,
            stdout=stdout,
            stderr=stderr,
            stdin=stdin,
            environment=environment,
            monitored=monitored,
        )
    except OSError as error:
        if not cwd.is_dir():
            raise WorkspaceError(f"there is no folder {cwd} to run in") from error
        raise WorkspaceError(f"the command could not be started: {reason(error)}") from error
    except ValueError as error:
        raise WorkspaceError(
            "the command could not be started: it holds a character that no command can hold"
        ) from error


def start_launch(
    launch: Launch, *, stdout: int, stderr: int, stdin: int = subprocess.DEVNULL
) -> ProcessGroup:
    """Start a command with these descriptors; raise `WorkspaceError`."""
    return start(
        launch.arguments,
        launch.cwd,
        stdout=stdout,
        stderr=stderr,
        stdin=stdin,
        environment=launch.environment,
        monitored=launch.monitored,
    )


def shell_command(
    request: CommandRequest, roots: Sequence[Path], environment: Mapping[str, str]
) -> list[str]:
    """Return the words that run the request's command line: bash reads it where there is one.

    Models write for bash. One that lies in the `roots` does not count, for harmless commands run
    without a question.
    """
    shell = locate_program("bash", roots, environment, "trusted")
    return [str(shell or "/bin/sh"), "-c", request.command]


async def run_command(
    request: CommandRequest,
    launch: Launch,
    groups: set[ProcessGroup],
    on_output: OutputSink | None,
) -> CommandResult:
    """Run the command line and return what it did; raise `WorkspaceError` if it cannot start.

    `launch` is how it is started, with all of its environment. The group is in
    `groups` as long as something of it may live: a background child survives its shell and is
    ended with the workspace.
    """
    for old in [group for group in groups if not is_alive(group)]:
        forget_group(old)
        groups.discard(old)
    started = anyio.current_time()
    deadline = started + request.timeout
    read_end, write_end = os.pipe()
    try:
        try:
            group = start_launch(launch, stdout=write_end, stderr=write_end)
        finally:
            os.close(write_end)
        groups.add(group)
        output = CappedOutput(request.output_limit)
        os.set_blocking(read_end, False)
        try:
            await _pump(group, read_end, output, on_output, deadline)
            code = await _exit_code(group, deadline)
            if code is None:
                await end_group(group, END_GRACE_SECONDS)
                _drain(read_end, output)
        except BaseException:
            await end_group(group, END_GRACE_SECONDS)
            groups.discard(group)
            raise
    finally:
        os.close(read_end)
    if code is None or not is_alive(group):
        forget_group(group)
        groups.discard(group)
    return CommandResult(
        exit_code=code,
        output=output.text(),
        timed_out=code is None,
        omitted_bytes=output.omitted,
        seconds=anyio.current_time() - started,
    )


async def _exit_code(group: ProcessGroup, deadline: float) -> int | None:
    """Wait for the shell; return None if it is still there at the deadline."""
    poll = _SHORTEST_POLL_SECONDS
    while (code := group.exit_code) is None and anyio.current_time() < deadline:
        await anyio.sleep(poll)
        # Its output has ended, so in most cases it is about to end itself.
        poll = min(poll * 1.5, _POLL_SECONDS)
    return code


async def _pump(
    group: ProcessGroup,
    read_end: int,
    output: CappedOutput,
    on_output: OutputSink | None,
    deadline: float,
) -> None:
    """Read until the end of the stream, the deadline, or a moment after the shell has ended."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    pending = ""
    flushed = anyio.current_time()
    ended: float | None = None
    open_stream = True
    while open_stream:
        now = anyio.current_time()
        if ended is None and group.leader.poll() is not None:
            ended = now
        if now >= deadline or (ended is not None and now - ended >= _AFTER_EXIT_SECONDS):
            break
        with anyio.move_on_after(min(_TICK_SECONDS, deadline - now)):
            await anyio.wait_readable(read_end)
        # Not readable yet is an answer too: it lets the shell's end and the deadline be noticed.
        with contextlib.suppress(BlockingIOError):
            data = os.read(read_end, _CHUNK_BYTES)
            open_stream = bool(data)
            output.feed(data)
            if on_output is not None:
                pending += decoder.decode(data)
        now = anyio.current_time()
        if pending and on_output is not None and now - flushed >= _TICK_SECONDS:
            await on_output(pending)
            pending, flushed = "", now
    pending += decoder.decode(b"", final=True)
    if pending and on_output is not None:
        await on_output(pending)


def _drain(read_end: int, output: CappedOutput) -> None:
    """Take what a command that was ended had still written, without waiting."""
    for _ in range(64):
        try:
            data = os.read(read_end, _CHUNK_BYTES)
        except BlockingIOError:
            return
        if not data:
            return
        output.feed(data)
