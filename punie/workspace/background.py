"""Commands that run on in the background while the session goes on.

A thread for each reads its output, so that a full pipe never stops a command, and keeps no more of
it than the command's limit.
"""

import contextlib
import os
import select
import threading
from collections.abc import Callable
from dataclasses import dataclass

import anyio

from punie.workspace.base import BackgroundOutput, CommandRequest, WorkspaceError
from punie.workspace.commands import END_GRACE_SECONDS, CappedOutput, start_launch
from punie.workspace.processes import ProcessGroup, end_group, forget_group, is_alive
from punie.workspace.sandbox.confining import Launch

MAX_RUNNING = 16
"""More commands never run in the background of one workspace."""

SETTLE_SECONDS = 1.0
"""How long a start is watched, so that a command that fails at once is seen to."""

_MAX_ENDED = 16
_POLL_SECONDS = 0.02
_DRAIN_SECONDS = 0.3
_CHUNK_BYTES = 65_536
_SHOWN_CHARS = 60


class _Reader:
    """Takes what comes out of a pipe until its end, in a thread of its own."""

    def __init__(self, read_end: int, limit: int) -> None:
        self._limit = limit
        self._output = CappedOutput(limit)
        self._lock = threading.Lock()
        self._read_end = read_end
        self._wake, self._waker = os.pipe()
        self._ended = False
        self._thread = threading.Thread(target=self._pump, name="background output", daemon=True)
        self._thread.start()

    def _pump(self) -> None:
        try:
            while True:
                ready, _, _ = select.select([self._read_end, self._wake], [], [])
                if self._wake in ready:
                    return
                with self._lock:
                    data = os.read(self._read_end, _CHUNK_BYTES)
                    self._output.feed(data)
                if not data:
                    return
        finally:
            with self._lock:
                os.close(self._read_end)
                os.close(self._wake)
                self._ended = True

    @property
    def caught_up(self) -> bool:
        """Whether all that was written so far has been taken in; or nothing will be any more."""
        with self._lock:
            return self._ended or not select.select([self._read_end], [], [], 0)[0]

    def take(self) -> str:
        """Return what came since the last time."""
        with self._lock:
            output, self._output = self._output, CappedOutput(self._limit)
        return output.text()

    def close(self) -> None:
        """Read no more. A process that left its group may hold the other end for ever."""
        if self._waker >= 0:
            with contextlib.suppress(OSError):
                os.write(self._waker, b"x")
            self._thread.join(1)
            os.close(self._waker)
            self._waker = -1


@dataclass
class _Command:
    line: str
    group: ProcessGroup
    reader: _Reader
    launch: Launch
    stopped: bool = False
    seen_to_end: bool = False

    @property
    def exit_code(self) -> int | None:
        return self.group.exit_code


class BackgroundCommands:
    """The background commands of one workspace, by their ids."""

    def __init__(
        self, groups: set[ProcessGroup], blocked: Callable[[Launch, int | None, str], str | None]
    ) -> None:
        """Take the set in which groups stand that are ended with the workspace.

        `blocked` tells what a command was kept from, by its exit code and output.
        """
        self._groups = groups
        self._blocked = blocked
        self._commands: dict[str, _Command] = {}
        self._started = 0

    async def start(self, request: CommandRequest, launch: Launch) -> BackgroundOutput:
        """Start a command and return what it did in its first second; raise `WorkspaceError`.

        `launch` is how it is started, with all of its environment. When cancelled in that second it
        is ended.
        """
        self._forget_ended()
        running = [name for name, each in self._commands.items() if each.exit_code is None]
        if len(running) >= MAX_RUNNING:
            raise WorkspaceError(
                f"{len(running)} background commands run already; stop one of {', '.join(running)}"
            )
        read_end, write_end = os.pipe()
        try:
            group = start_launch(launch, stdout=write_end, stderr=write_end)
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        self._groups.add(group)
        self._started += 1
        name = f"bg{self._started}"
        reader = _Reader(read_end, request.output_limit)
        command = _Command(request.command, group, reader, launch)
        self._commands[name] = command
        try:
            with anyio.move_on_after(SETTLE_SECONDS):
                while command.exit_code is None:
                    await anyio.sleep(_POLL_SECONDS)
        except BaseException:
            await self._end(command)
            raise
        return await self._look(name, command)

    async def output(self, name: str, *, stop: bool) -> BackgroundOutput:
        """Return what a command did since the last look; raise `WorkspaceError` if it is unknown.

        With `stop` it is ended first, with all that it started.
        """
        command = self._commands.get(name)
        if command is None:
            there = ", ".join(
                f"{name} ({' '.join(each.line.split())[:_SHOWN_CHARS]})"
                for name, each in self._commands.items()
            )
            known = f"there are {there}" if there else "none was started"
            raise WorkspaceError(f"there is no background command {name!r}; {known}")
        if stop:
            await self._end(command)
        return await self._look(name, command)

    def close(self) -> None:
        """Stop reading; the groups are ended by whoever owns them."""
        for command in self._commands.values():
            command.reader.close()
        self._commands.clear()

    async def _look(self, name: str, command: _Command) -> BackgroundOutput:
        code = command.exit_code
        # What was killed may be a zombie for as long as its parent does not look.
        children = code is not None and not command.stopped and is_alive(command.group)
        if code is not None:
            # The reader may not have come to what the command wrote before it ended.
            with anyio.move_on_after(_DRAIN_SECONDS):
                while not command.reader.caught_up:
                    await anyio.sleep(_POLL_SECONDS)
        if code is not None and not children:
            forget_group(command.group)
            self._groups.discard(command.group)
            command.seen_to_end = True
        output = command.reader.take()
        blocked = None
        if code is not None and not command.stopped:
            blocked = self._blocked(command.launch, code, output)
        return BackgroundOutput(name, command.line, output, code, children, blocked)

    async def _end(self, command: _Command) -> None:
        await end_group(command.group, END_GRACE_SECONDS)
        self._groups.discard(command.group)
        command.stopped = True

    def _forget_ended(self) -> None:
        """Keep the newest of those that have ended and whose end was told."""
        ended = [name for name, each in self._commands.items() if each.seen_to_end]
        for name in ended[: max(len(ended) - _MAX_ENDED, 0)]:
            self._commands.pop(name).reader.close()
