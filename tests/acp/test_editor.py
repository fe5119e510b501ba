"""The client's files and terminals, asked for through a client that is only an object here."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from acp import RequestError
from acp.interfaces import Client
from acp.schema import (
    CreateTerminalResponse,
    ReadTextFileResponse,
    ReleaseTerminalResponse,
    WaitForTerminalExitResponse,
)

from punie.acp import editor
from punie.acp.client import ClientConnection
from punie.acp.editor import ClientFiles, ClientTerminals, Editor, FileGate
from punie.acp.handshake import ClientProfile
from punie.workspace.editor import (
    EditorError,
    EditorRefusedError,
    EditorTimeoutError,
    TerminalCommand,
)
from punie.workspace.ide import IdeWorkspace
from punie.workspace.local import LocalWorkspace
from punie.workspace.sandbox.view import UNCONFINED

pytestmark = pytest.mark.anyio


class NoTransport:
    """What `ClientConnection.ask` needs of a transport."""

    def withdrawing(self) -> anyio.CancelScope:
        return anyio.CancelScope()


@dataclass
class SlowClient:
    """Answers when `gate` is open, with `error` if there is one."""

    gate: anyio.Event = field(default_factory=anyio.Event)
    error: Exception | None = None
    released: list[str] = field(default_factory=list)
    ended: WaitForTerminalExitResponse = field(
        default_factory=lambda: WaitForTerminalExitResponse(exit_code=0)
    )

    async def _answer(self) -> None:
        await self.gate.wait()
        if self.error is not None:
            raise self.error

    async def read_text_file(self, **_: Any) -> ReadTextFileResponse:
        await self._answer()
        return ReadTextFileResponse(content="text")

    async def create_terminal(self, **_: Any) -> CreateTerminalResponse:
        await self._answer()
        return CreateTerminalResponse(terminal_id="t")

    async def wait_for_terminal_exit(self, **_: Any) -> WaitForTerminalExitResponse:
        return self.ended

    async def release_terminal(self, terminal_id: str, **_: Any) -> ReleaseTerminalResponse:
        self.released.append(terminal_id)
        return ReleaseTerminalResponse()

    def connection(self) -> ClientConnection:
        return ClientConnection(cast(Client, self), cast(Any, NoTransport()))


COMMAND = TerminalCommand(["sh", "-c", "true"], Path("/"), 1000)


@pytest.fixture
async def client(anyio_backend: str) -> SlowClient:
    return SlowClient()


def open_gate(client: SlowClient) -> SlowClient:
    client.gate.set()
    return client


async def test_a_client_that_leaves_requests_unanswered_is_not_waited_for_as_long_again(
    client: SlowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(editor, "_IMPATIENCE_SECONDS", 0.05)
    files = ClientFiles(client.connection(), "s", FileGate(client.connection(), patience=0.4))
    for patience in ("0.4", "0.05", "0.05"):
        with pytest.raises(EditorTimeoutError, match=f"it did not answer in {patience} s"):
            await files.read(Path("/a"))
    client.gate.set()
    assert await files.read(Path("/a")) == "text"
    client.gate = anyio.Event()
    with pytest.raises(EditorTimeoutError, match=r"in 0\.4 s"):
        await files.read(Path("/a"))


async def test_a_cancelled_request_leaves_the_way_free(client: SlowClient) -> None:
    files = ClientFiles(client.connection(), "s", FileGate(client.connection(), patience=5))
    with anyio.move_on_after(0.05) as scope:
        await files.read(Path("/a"))
    assert scope.cancelled_caught
    client.gate.set()
    with anyio.fail_after(5):
        assert await files.read(Path("/a")) == "text"


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (RequestError(-32603, "No such file."), EditorError, "No such file"),
        (RequestError(-32603, "Internal error", {"details": "a\nb."}), EditorError, "a b"),
        (RequestError(-32603, "Internal error", ["odd"]), EditorError, "Internal error"),
        (RequestError(-32603, ""), EditorError, "it gave no reason"),
        (RequestError(-32603, "x" * 500), EditorError, "x" * 200),
        (RequestError(-32603, "Permission denied for a"), EditorRefusedError, "Permission denied"),
        (RequestError(-1, "x", {"message": "User rejected it"}), EditorRefusedError, "User"),
        (RequestError(-1, "Write access is not allowed in here"), EditorError, "Write access"),
        (ConnectionError("Connection closed"), EditorError, "it has gone"),
    ],
)
async def test_what_a_client_says_against_it(
    client: SlowClient, error: Exception, kind: type[EditorError], message: str
) -> None:
    open_gate(client).error = error
    files = ClientFiles(client.connection(), "s", FileGate(client.connection()))
    with pytest.raises(EditorError) as caught:
        await files.read(Path("/a"))
    assert type(caught.value) is kind
    assert str(caught.value).startswith(message)
    assert len(str(caught.value)) <= 200


async def test_a_terminal_that_comes_after_the_cancel_is_released(client: SlowClient) -> None:
    async with anyio.create_task_group() as tasks:
        terminals = ClientTerminals(client.connection(), "s", tasks)
        with anyio.move_on_after(0.05) as scope:
            await terminals.create(COMMAND)
        assert scope.cancelled_caught
        assert client.released == []
        client.gate.set()
    assert client.released == ["t"]


@pytest.mark.parametrize("steps", range(5))
async def test_a_terminal_that_comes_with_the_cancel_has_one_owner(
    client: SlowClient, steps: int
) -> None:
    got: list[str] = []
    async with anyio.create_task_group() as tasks:
        terminals = ClientTerminals(client.connection(), "s", tasks)
        with anyio.CancelScope() as scope:

            async def both() -> None:
                # The answer arrives and, so many steps of the loop later, the turn is cancelled.
                await anyio.sleep(0.05)
                client.gate.set()
                for _ in range(steps):
                    await anyio.sleep(0)
                scope.cancel()

            tasks.start_soon(both)
            got.append(await terminals.create(COMMAND))
    assert got + client.released == ["t"]


async def test_a_terminal_that_never_comes(
    client: SlowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(editor, "_CREATE_SECONDS", 0.05)
    async with anyio.create_task_group() as tasks:
        terminals = ClientTerminals(client.connection(), "s", tasks)
        with pytest.raises(EditorTimeoutError):
            await terminals.create(COMMAND)
        client.gate.set()
    assert client.released == ["t"]


async def test_a_terminal_that_is_refused(client: SlowClient) -> None:
    open_gate(client).error = RequestError(-32603, "Permission denied for terminal/create")
    async with anyio.create_task_group() as tasks:
        with pytest.raises(EditorRefusedError):
            await ClientTerminals(client.connection(), "s", tasks).create(COMMAND)
    assert client.released == []


@pytest.mark.parametrize(
    ("code", "name", "expected"),
    [
        (3, None, 3),
        (None, "SIGKILL", 137),
        (None, "sigterm", 143),
        (None, "9", 137),
        (None, "SIGODD", None),
        (None, None, None),
    ],
)
async def test_exit_codes_are_those_of_a_shell(
    client: SlowClient, code: int | None, name: str | None, expected: int | None
) -> None:
    client.ended = WaitForTerminalExitResponse(exit_code=code, signal=name)
    async with anyio.create_task_group() as tasks:
        terminals = ClientTerminals(client.connection(), "s", tasks)
        assert await terminals.wait("t") == expected


async def test_the_workspace_is_what_the_client_offers(client: SlowClient, tmp_path: Path) -> None:
    async with anyio.create_task_group() as tasks:
        offered = Editor(client.connection(), tasks)
        assert isinstance(
            offered.workspace("s", [tmp_path], ClientProfile(jetbrains=True), UNCONFINED),
            LocalWorkspace,
        )
        for offers in ("reads_files", "writes_files", "terminals"):
            profile = ClientProfile(**cast(Any, {offers: True}))
            assert isinstance(offered.workspace("s", [tmp_path], profile, UNCONFINED), IdeWorkspace)
