"""A real `punie serve` for the tests of a file, and clients that speak raw JSON over WebSockets."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from punie.server.record import ServerRecord, read_record, read_token

COMMAND = Path(sys.executable).parent / "punie"
TIMEOUT = 30.0
Json = dict[str, Any]


@dataclass(eq=False)
class RunningServer:
    """A server process with a home of its own below `folder`."""

    folder: Path
    process: subprocess.Popen[str]
    environment: dict[str, str]

    @property
    def state_dir(self) -> Path:
        return self.folder / "state"

    @property
    def record(self) -> ServerRecord:
        record = read_record(self.state_dir)
        assert record is not None
        return record

    @property
    def token(self) -> str:
        token = read_token(self.state_dir)
        assert token is not None
        return token

    @property
    def host(self) -> str:
        return self.record.url.removeprefix("http://")

    def connect(self, **options: Any) -> "RawClient":
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        opened = connect(
            f"ws://{self.host}/acp",
            additional_headers=headers,
            compression=None,
            max_size=None,
            proxy=None,
            **options,
        )
        return RawClient(opened.__enter__())

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(TIMEOUT)


@dataclass(eq=False)
class RawClient:
    """One WebSocket; `messages` holds all that came. Without an `answer` questions wait."""

    socket: ClientConnection
    messages: list[Json] = field(default_factory=list)
    last_id: int = 0
    answer: str = "allow_once"

    def call(self, method: str, params: Json | None = None) -> int:
        self.last_id += 1
        message = {"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params or {}}
        self.socket.send(json.dumps(message))
        return self.last_id

    def notify(self, method: str, params: Json) -> None:
        self.socket.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}))

    def read(self, timeout: float = TIMEOUT) -> Json:
        message: Json = json.loads(self.socket.recv(timeout))
        self.messages.append(message)
        if message.get("method") == "session/request_permission" and self.answer:
            options = message["params"]["options"]
            chosen = next(each["optionId"] for each in options if each["kind"] == self.answer)
            outcome = {"outcome": {"outcome": "selected", "optionId": chosen}}
            answer = {"jsonrpc": "2.0", "id": message["id"], "result": outcome}
            self.socket.send(json.dumps(answer))
        return message

    def until(self, wanted: Callable[[Json], bool], timeout: float = TIMEOUT) -> Json:
        """Read until a message is wanted and return it; those read before count too."""
        for message in self.messages:
            if wanted(message):
                return message
        deadline = time.monotonic() + timeout
        while True:
            message = self.read(max(0.01, deadline - time.monotonic()))
            if wanted(message):
                return message

    def answer_to(self, request_id: int) -> Json:
        return self.until(lambda each: "method" not in each and each["id"] == request_id)

    def request(self, method: str, params: Json | None = None) -> Any:
        answer = self.answer_to(self.call(method, params))
        assert "result" in answer, answer
        return answer["result"]

    def open_session(self, cwd: Path) -> str:
        self.request("initialize", {"protocolVersion": 1, "clientCapabilities": {}})
        result = self.request("session/new", {"cwd": str(cwd), "mcpServers": []})
        session_id = result["sessionId"]
        assert isinstance(session_id, str)
        return session_id

    def begin_prompt(self, session_id: str, text: str = "go") -> int:
        blocks = [{"type": "text", "text": text}]
        return self.call("session/prompt", {"sessionId": session_id, "prompt": blocks})

    def prompt(self, session_id: str, text: str = "go") -> str:
        reason = self.answer_to(self.begin_prompt(session_id, text))["result"]["stopReason"]
        assert isinstance(reason, str)
        return reason

    def text(self, session_id: str) -> str:
        return "".join(
            message["params"]["update"]["content"]["text"]
            for message in self.messages
            if message.get("method") == "session/update"
            and message["params"]["sessionId"] == session_id
            and message["params"]["update"]["sessionUpdate"] == "agent_message_chunk"
        )

    def close(self) -> None:
        with contextlib.suppress(ConnectionClosed, OSError):
            self.socket.close()

    def __enter__(self) -> "RawClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


StartServer = Callable[..., RunningServer]


def _started(folder: Path, stack: ExitStack, *arguments: str, **variables: str) -> RunningServer:
    (folder / "home").mkdir(exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "home"),
        "PUNIE_STATE_DIR": str(folder / "state"),
        "PUNIE_CONFIG_DIR": str(folder / "config"),
        **variables,
    }
    process = subprocess.Popen(
        [str(COMMAND), "serve", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
    return RunningServer(folder, process, environment)


def wait_ready(server: RunningServer) -> RunningServer:
    deadline = time.monotonic() + TIMEOUT
    while read_record(server.state_dir) is None:
        if server.process.poll() is not None:
            _, said = server.process.communicate()
            raise AssertionError(f"the server ended: {said}")
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return server


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Start a server with the given arguments; it is ended after the test."""
    with ExitStack() as stack:
        yield lambda *arguments, **variables: _started(tmp_path, stack, *arguments, **variables)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server for the tests of a file."""
    with ExitStack() as stack:
        yield wait_ready(_started(tmp_path_factory.mktemp("server"), stack))


@pytest.fixture
def scripted(server: RunningServer, tmp_path: Path) -> Callable[..., None]:
    """Have sessions that are opened from now on run on a script of responses."""

    def use(*responses: Json, repeat: bool = False, mode: str = "ask") -> None:
        path = tmp_path / "script.json"
        path.write_text(json.dumps({"responses": responses, "repeat": repeat}))
        settings = server.folder / "config/settings.toml"
        settings.parent.mkdir(exist_ok=True)
        settings.write_text(f'model = "scripted:{path}"\nmode = "{mode}"\n')

    return use


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "app.py").write_text("def greet(name):\n    return 'Hello ' + name\n")
    return folder
