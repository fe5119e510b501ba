"""The client's files and terminals, as a workspace uses them."""

import re
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from acp import RequestError
from acp.schema import EnvVariable
from anyio.abc import TaskGroup
from pydantic import ValidationError

from punie.acp.client import ClientConnection
from punie.acp.handshake import ClientProfile
from punie.workspace.base import Workspace
from punie.workspace.editor import (
    EditorError,
    EditorRefusedError,
    EditorTimeoutError,
    TerminalCommand,
    TerminalOutput,
)

_PATIENCE_SECONDS = 10.0
_IMPATIENCE_SECONDS = 1.0
_CREATE_SECONDS = 30.0
_REASON_CHARS = 200
# No code stands for it: clients that ask a person or a policy of their own say it in words.
_REFUSED = re.compile(
    r"permission denied|denied by|not permitted|(user|client) (denied|rejected|declined|refused)",
    re.IGNORECASE,
)

if TYPE_CHECKING:
    from punie.workspace.sandbox.view import SandboxOptions

Answer = TypeVar("Answer")


class Editor:
    """The files and terminals of one client, for the workspaces of all its sessions."""

    def __init__(self, client: ClientConnection, tasks: TaskGroup) -> None:
        self._client = client
        self._tasks = tasks
        self._gate = FileGate(client)

    def workspace(
        self,
        session_id: str,
        roots: Sequence[Path],
        profile: ClientProfile,
        sandbox: "SandboxOptions",
    ) -> Workspace:
        """Return a session's workspace, which uses what the client offers and nothing else.

        `sandbox` says how its commands are confined, in terminals of the client too.
        """
        from punie.workspace.ide import IdeWorkspace
        from punie.workspace.local import LocalWorkspace

        local = LocalWorkspace(roots, sandbox)
        if not (profile.reads_files or profile.writes_files or profile.terminals):
            return local
        files = ClientFiles(self._client, session_id, self._gate)
        terminals = ClientTerminals(self._client, session_id, self._tasks)
        return IdeWorkspace(
            local,
            reader=files if profile.reads_files else None,
            writer=files if profile.writes_files else None,
            terminals=terminals if profile.terminals else None,
        )


class FileGate:
    """Lets one request for a file through at a time: IDEs answer all requests in one thread.

    A client that has just left one unanswered is not waited for as long again.
    """

    def __init__(self, client: ClientConnection, patience: float = _PATIENCE_SECONDS) -> None:
        self._client = client
        self._lock = anyio.Lock()
        self._usual = self._patience = patience

    async def ask(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """Make the request and return the answer; raise `EditorError`."""
        async with self._lock:
            patience = self._patience
            try:
                with anyio.fail_after(patience):
                    answer = await self._client.ask(_request(call))
            except TimeoutError as error:
                self._patience = min(_IMPATIENCE_SECONDS, self._usual)
                raise EditorTimeoutError(f"it did not answer in {patience:g} s") from error
            except EditorError:
                self._patience = self._usual
                raise
            self._patience = self._usual
            return answer


class ClientFiles:
    """Reads and writes files through the client."""

    def __init__(self, client: ClientConnection, session_id: str, gate: FileGate) -> None:
        self._client = client
        self._session_id = session_id
        self._gate = gate

    async def read(self, path: Path) -> str:
        """Return the text of a file as the client has it; raise `EditorError`."""
        answer = await self._gate.ask(
            lambda: self._client.sdk.read_text_file(session_id=self._session_id, path=str(path))
        )
        return answer.content

    async def write(self, path: Path, text: str) -> None:
        """Hand the client the whole new text of a file; raise `EditorError`."""
        await self._gate.ask(
            lambda: self._client.sdk.write_text_file(
                session_id=self._session_id, path=str(path), content=text
            )
        )


class ClientTerminals:
    """Runs commands in terminals of the client."""

    def __init__(self, client: ClientConnection, session_id: str, tasks: TaskGroup) -> None:
        self._client = client
        self._session_id = session_id
        self._tasks = tasks

    async def create(self, command: TerminalCommand) -> str:
        """Start a command; raise `EditorError`. Cancelled, a terminal that comes late is released.

        So the request runs in a task of its own, which outlives the turn that asked.
        """
        program, *arguments = command.arguments
        done = anyio.Event()
        outcome: list[str | EditorError] = []
        wanted = True

        async def start() -> None:
            try:
                answer = await _request(
                    lambda: self._client.sdk.create_terminal(
                        session_id=self._session_id,
                        command=program,
                        args=arguments,
                        env=[
                            EnvVariable(name=name, value=value)
                            for name, value in command.environment.items()
                        ],
                        cwd=str(command.cwd),
                        output_byte_limit=command.output_bytes,
                    )
                )
                outcome.append(answer.terminal_id)
            except EditorError as error:
                outcome.append(error)
            done.set()
            if not wanted:
                await self._drop(outcome)

        self._tasks.start_soon(start)
        try:
            with anyio.fail_after(_CREATE_SECONDS):
                await done.wait()
        except BaseException as error:
            wanted = False
            if done.is_set():
                self._tasks.start_soon(self._drop, outcome)
            if isinstance(error, TimeoutError):
                raise EditorTimeoutError(f"it did not answer in {_CREATE_SECONDS:g} s") from error
            raise
        result = outcome[0]
        if isinstance(result, EditorError):
            raise result
        return result

    async def wait(self, terminal: str) -> int | None:
        """Wait for the end; return the exit code as a shell reports it, None if it is not known."""
        answer = await self._client.ask(
            _request(lambda: self._client.sdk.wait_for_terminal_exit(**self._named(terminal)))
        )
        if answer.exit_code is not None:
            return answer.exit_code
        return _code_of_signal(answer.signal)

    async def output(self, terminal: str) -> TerminalOutput:
        """Return what the command has written so far."""
        answer = await _request(lambda: self._client.sdk.terminal_output(**self._named(terminal)))
        return TerminalOutput(answer.output, answer.truncated)

    # A kill or a release that nobody waits for any longer still has to happen. So these are not
    # withdrawn, as other requests are.

    async def kill(self, terminal: str) -> None:
        """End the command."""
        await _request(lambda: self._client.sdk.kill_terminal(**self._named(terminal)))

    async def release(self, terminal: str) -> None:
        """Give the terminal back."""
        await _request(lambda: self._client.sdk.release_terminal(**self._named(terminal)))

    async def _drop(self, outcome: Sequence[str | EditorError]) -> None:
        """Release a terminal that nobody waits for."""
        for terminal in outcome:
            if isinstance(terminal, str):
                try:
                    await self.release(terminal)
                except EditorError:
                    return  # gone already, or the client is

    def _named(self, terminal: str) -> dict[str, Any]:
        return {"session_id": self._session_id, "terminal_id": terminal}


async def _request(call: Callable[[], Awaitable[Answer]]) -> Answer:
    """Make a request of the SDK; raise `EditorError` for all that can go wrong with it."""
    try:
        return await call()
    except RequestError as error:
        reason = _reason(error)
        if _REFUSED.search(reason):
            raise EditorRefusedError(reason) from error
        raise EditorError(reason) from error
    except ConnectionError as error:
        raise EditorError("it has gone") from error
    except (ValidationError, AttributeError) as error:
        raise EditorError("its answer cannot be understood") from error


def _reason(error: RequestError) -> str:
    """Return what the client says, as the end of a sentence; details are often in the data."""
    data = error.data if isinstance(error.data, dict) else {}
    said = data.get("details") or data.get("message") or str(error)
    line = " ".join(str(said).split())[:_REASON_CHARS].rstrip(". ")
    return line or "it gave no reason"


def _code_of_signal(name: str | None) -> int | None:
    if name is None:
        return None
    try:
        number = int(name) if name.isdigit() else signal.Signals[name.upper()].value
    except KeyError:
        return None
    return 128 + number
