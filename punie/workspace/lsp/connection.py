"""One running language server: its process and the messages to and from it.

Nothing reads while nobody asks, so that no task has to live on between the questions.
"""

import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel

from punie.logs.setup import get_logger
from punie.workspace.commands import END_GRACE_SECONDS, start
from punie.workspace.lsp.framing import FramingError, MessageStream, framed
from punie.workspace.lsp.model import LanguageServerError
from punie.workspace.memory import MemoryWatch
from punie.workspace.processes import ProcessGroup, end_group

_CHUNK_BYTES = 262_144
_log = get_logger(__name__)

Question = tuple[str, Mapping[str, Any]]
"""A method and its parameters."""


class ServerEndedError(Exception):
    """The server's process has ended, or has said what is no message."""


class Connection:
    """Speaks with the server; one exchange at a time."""

    def __init__(self, group: ProcessGroup, stdin: int, stdout: int) -> None:
        self.group = group
        self._stdin = stdin
        self._stdout = stdout
        self._stream = MessageStream()
        self._outgoing = bytearray()
        self._to_write = anyio.Event()
        self._answers: dict[int, dict[str, Any]] = {}
        self._asked: set[int] = set()
        self._last_id = 0
        self._exchange: anyio.CancelScope | None = None

    def notify(self, method: str, parameters: Mapping[str, Any]) -> None:
        """Tell the server something; it goes out with the next exchange."""
        self._queue({"method": method, "params": parameters})

    async def exchange(self, questions: Sequence[Question]) -> list[Any]:
        """Ask all at once and return the answers in order.

        Raises `ServerEndedError`, and `LanguageServerError` with what the server says of a question
        that it cannot answer. When cancelled, the server is told with the next exchange.
        """
        numbers = [self._ask(method, parameters) for method, parameters in questions]
        ended: Exception | None = None
        try:
            with MemoryWatch(self.group):
                async with anyio.create_task_group() as tasks:
                    self._exchange = tasks.cancel_scope
                    tasks.start_soon(self._write)
                    try:
                        await self._read_answers()
                    except (OSError, FramingError, ServerEndedError) as error:
                        ended = error
                    tasks.cancel_scope.cancel()
            if self._asked and ended is None:
                ended = ServerEndedError("it was closed")
            if ended is not None:
                raise ServerEndedError(str(ended)) from ended
        finally:
            self._exchange = None
            for number in self._asked:
                self.notify("$/cancelRequest", {"id": number})
            self._asked.clear()
            answers, self._answers = self._answers, {}
        return [_result(answers[number]) for number in numbers]

    async def aclose(self) -> None:
        """End the process and all that it started; an exchange that goes on is ended."""
        if self._exchange is not None:
            self._exchange.cancel()
            # The pipes may not be closed under it.
            await anyio.lowlevel.checkpoint()
        await end_group(self.group, END_GRACE_SECONDS)
        self.close_pipes()

    def close_pipes(self) -> None:
        """Close our ends of the pipes."""
        for descriptor in (self._stdin, self._stdout):
            if descriptor >= 0:
                os.close(descriptor)
        self._stdin = self._stdout = -1

    def _ask(self, method: str, parameters: Mapping[str, Any]) -> int:
        self._last_id += 1
        self._asked.add(self._last_id)
        self._queue({"id": self._last_id, "method": method, "params": parameters})
        return self._last_id

    def _queue(self, message: Mapping[str, Any]) -> None:
        self._outgoing += framed(message)
        self._to_write.set()

    async def _write(self) -> None:
        while True:
            await self._to_write.wait()
            while self._outgoing:
                await anyio.wait_writable(self._stdin)
                try:
                    written = os.write(self._stdin, self._outgoing[:_CHUNK_BYTES])
                except BlockingIOError:
                    continue
                except OSError:
                    return  # Nobody reads any more; its output ends too.
                del self._outgoing[:written]
            self._to_write = anyio.Event()

    async def _read_answers(self) -> None:
        while self._asked:
            await anyio.wait_readable(self._stdout)
            try:
                data = os.read(self._stdout, _CHUNK_BYTES)
            except BlockingIOError:
                continue
            if not data:
                raise ServerEndedError("its output has ended")
            for message in self._stream.feed(data):
                self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        number = message.get("id")
        if "method" not in message:
            if number in self._asked:
                self._asked.discard(number)
                self._answers[number] = message
            return
        if number is None:
            return
        # What servers ask for are settings, which we have none of, and leave to do things.
        settings = message["method"] == "workspace/configuration"
        items = message.get("params", {}).get("items", []) if settings else []
        self._queue({"id": number, "result": [None] * len(items) if settings else None})


def _result(answer: dict[str, Any]) -> Any:
    error = answer.get("error")
    if error is None:
        return answer.get("result")
    _log.info("a language server refused", error=error)
    said = str(error.get("message", "")).strip().partition("\n")[0][:200]
    raise LanguageServerError(f"the Python language server could not answer: {said}")


def connect(
    arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], groups: set[ProcessGroup]
) -> Connection:
    """Start a language server in a process group of its own, entered in `groups`.

    Raises `WorkspaceError` if it cannot be started.
    """
    # A pipe could be opened again: a link in the project to `/dev/stdin` would have the server read
    # its own questions as a file.
    stdin, our_stdin = (end.detach() for end in socket.socketpair())
    our_stdout, stdout = os.pipe()
    stderr = os.open(os.devnull, os.O_WRONLY)
    try:
        group = start(
            list(arguments),
            cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            environment=environment,
        )
    except BaseException:
        os.close(our_stdin)
        os.close(our_stdout)
        raise
    finally:
        for descriptor in (stdin, stdout, stderr):
            os.close(descriptor)
    groups.add(group)
    for descriptor in (our_stdin, our_stdout):
        os.set_blocking(descriptor, False)
    return Connection(group, our_stdin, our_stdout)
