"""Running a command in a terminal of the IDE, where the person can watch it."""

import contextlib
import os
from collections.abc import Awaitable

import anyio

from punie.logs.setup import get_logger
from punie.workspace.base import CommandRequest, CommandResult, TerminalSink, WorkspaceError
from punie.workspace.commands import CappedOutput
from punie.workspace.editor import (
    EditorError,
    EditorRefusedError,
    EditorTimeoutError,
    TerminalCommand,
    Terminals,
)
from punie.workspace.sandbox.confining import Launch

KEPT_BYTES = 1_000_000
"""How much of its output a terminal is asked to keep."""

_OF_THE_TERMINAL = ("PATH", "VIRTUAL_ENV")
_OF_A_CONFINED_TERMINAL = (*_OF_THE_TERMINAL, "TMPDIR", "TMP", "TEMP", "XDG_CACHE_HOME")
_OUTPUT_SECONDS = 10.0
_KILL_SECONDS = 2.0
# What ends a command is sent in any case; a cancelled turn does not wait long for the answer.
_CANCEL_SECONDS = 0.1
_log = get_logger(__name__)


class NoTerminalError(Exception):
    """The IDE opened no terminal, so nothing has been run; the message says why."""


class TerminalRunner:
    """Runs commands in terminals, each of which is given back whatever happens."""

    def __init__(self, terminals: Terminals) -> None:
        self._terminals = terminals
        self._open: set[str] = set()

    async def run(
        self,
        request: CommandRequest,
        launch: Launch,
        on_terminal: TerminalSink | None,
    ) -> CommandResult:
        """Run the command and return what it did; raise `NoTerminalError` or `WorkspaceError`.

        A terminal has the IDE's own environment: of the launch's it gets the PATH, the virtual
        environment, where temporary files and caches are, and all that the request adds.
        """
        started = anyio.current_time()
        terminal = await self._create(request, launch)
        self._open.add(terminal)
        ended = False
        try:
            if on_terminal is not None:
                await on_terminal(terminal)
            code: int | None = None
            with anyio.move_on_after(started + request.timeout - anyio.current_time()):
                code = await self._terminals.wait(terminal)
                ended = True
            if not ended:
                await self._within(_KILL_SECONDS, self._terminals.kill(terminal))
            output, omitted = await self._output(terminal, request.output_limit)
        except EditorError as error:
            raise WorkspaceError(
                f"the IDE lost sight of the command, which may have run: {error}"
            ) from error
        except BaseException:
            if not ended:
                with anyio.CancelScope(shield=True):
                    await self._within(_CANCEL_SECONDS, self._terminals.kill(terminal))
            raise
        finally:
            await self._release(terminal)
        return CommandResult(
            exit_code=code,
            output=output,
            timed_out=not ended,
            omitted_bytes=omitted,
            seconds=anyio.current_time() - started,
        )

    async def aclose(self) -> None:
        """Give back what is still open."""
        for terminal in tuple(self._open):
            await self._release(terminal)

    async def _create(self, request: CommandRequest, launch: Launch) -> str:
        try:
            os.fsencode(request.command)
        except UnicodeEncodeError as error:
            raise NoTerminalError("the command holds a broken character") from error
        names = _OF_THE_TERMINAL if launch.view is None else _OF_A_CONFINED_TERMINAL
        environment = launch.environment
        chosen = {name: environment[name] for name in names if name in environment}
        arguments = launch.arguments
        if launch.view is not None:
            # The sandbox ends with the thread that started it, which an IDE may have ended by then.
            arguments = ["/bin/sh", "-c", '"$@"; exit $?', "sh", *arguments]
        command = TerminalCommand(
            arguments=arguments,
            cwd=request.cwd,
            output_bytes=max(KEPT_BYTES, request.output_limit),
            environment=chosen,
        )
        try:
            return await self._terminals.create(command)
        except EditorRefusedError as error:
            raise WorkspaceError(f"the IDE does not allow this command: {error}") from error
        except EditorTimeoutError as error:
            # It may come to run there yet; running it here too could do harm.
            raise WorkspaceError(f"the IDE opened no terminal: {error}; try again") from error
        except EditorError as error:
            raise NoTerminalError(str(error)) from error

    async def _output(self, terminal: str, limit: int) -> tuple[str, int]:
        with anyio.move_on_after(_OUTPUT_SECONDS):
            output = await self._terminals.output(terminal)
            capped = CappedOutput(limit)
            capped.feed(output.text.encode("utf-8", "replace"))
            start = "[the beginning is omitted]\n" if output.truncated else ""
            return start + capped.text(), capped.omitted
        return "[the IDE did not show the output]", 0

    async def _release(self, terminal: str) -> None:
        if terminal in self._open:
            self._open.discard(terminal)
            with anyio.CancelScope(shield=True):
                await self._within(_CANCEL_SECONDS, self._terminals.release(terminal))

    @staticmethod
    async def _within(seconds: float, call: Awaitable[None]) -> None:
        """Have something done, but do not wait for it longer than this."""
        with anyio.move_on_after(seconds) as scope, contextlib.suppress(EditorError):
            await call
        if scope.cancelled_caught:
            _log.warning("the IDE did not answer for a terminal")
