"""A small ACP client of our own: raw JSON over real pipes, no SDK on this side."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

from punie.server.record import read_record
from tests.e2e.exchange import Exchange

COMMAND = Path(sys.executable).parent / "punie"
TIMEOUT = 60.0

Json = dict[str, Any]


class Refused(Exception):  # noqa: N818 - read as `raises(Refused)`
    """The agent answered with an error."""

    def __init__(self, error: Json) -> None:
        super().__init__(f"{error['code']}: {error['message']}")
        self.code: int = error["code"]
        self.message: str = error["message"]
        self.error = error


def allow(request: Json) -> Json:
    """Answer a permission question with the first choice that allows."""
    return _choose(request, "allow_once")


def deny(request: Json) -> Json:
    """Answer a permission question with the first choice that refuses."""
    return _choose(request, "reject_once")


def _choose(request: Json, kind: str) -> Json:
    options = request["params"]["options"]
    chosen = next(option for option in options if option["kind"] == kind)
    return {"outcome": {"outcome": "selected", "optionId": chosen["optionId"]}}


class Client:
    """Drives one agent process. `messages` holds all that it wrote, in order.

    All that is said is checked by the schema after each test; `sound=False` is for a client that
    breaks the protocol on purpose. What goes through `write` is not looked at.
    """

    exchanges: ClassVar[list[Exchange]] = []
    usual_arguments: ClassVar[tuple[str, ...]] = ("acp",)
    """What starts the agent unless a test says otherwise; `pytest --shared` goes by the server."""

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        arguments: Iterable[str] | None = None,
        answer: Callable[[Json], Json | None] = allow,
        stdout: int = subprocess.PIPE,
        command: Iterable[str] | None = None,
        sound: bool = True,
    ) -> None:
        arguments = self.usual_arguments if arguments is None else tuple(arguments)
        shared = "--shared" in arguments or environment.get("PUNIE_ENGINE") == "shared"
        self._served = environment["PUNIE_STATE_DIR"] if shared else None
        if self._served is not None:
            # One that is just starting when the test ends is not found, and ends by itself.
            environment = {"PUNIE_SERVER_IDLE_MINUTES": "0.1", **environment}
        self.answer = answer
        self.exchange = Exchange(sound=sound)
        self.exchanges.append(self.exchange)
        self.messages: list[Json] = []
        self.noise: list[bytes] = []
        self._last_id = 0
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._ended = False
        self._stderr: list[bytes] = []
        self.process = subprocess.Popen(
            [*(command or [str(COMMAND)]), *arguments],
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=dict(environment),
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        if stdout == subprocess.PIPE:
            self._reader.start()
        self._stderr_reader = threading.Thread(target=self._read_stderr, daemon=True)
        self._stderr_reader.start()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def stderr(self) -> str:
        """All of stderr; call it after the process has ended."""
        self._stderr_reader.join(5)
        return b"".join(self._stderr).decode("utf-8", "replace")

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        if self._served is not None:
            while kill_server(Path(self._served)) is not None:
                pass
        self.exchange.open = False

    def wait_read(self) -> None:
        """Wait until all that the ended process wrote is in `messages`."""
        self._reader.join(10)

    def close_stdin(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()

    def wait_exit(self, timeout: float = 10.0) -> float:
        """Wait for the end of the process; return how many seconds it took."""
        begin = time.monotonic()
        self.process.wait(timeout)
        return time.monotonic() - begin

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        with self._writing:
            self.process.stdin.write(data)
            self.process.stdin.flush()

    def send(self, message: Json) -> None:
        self.exchange.add("client", message)
        self.write(json.dumps(message).encode() + b"\n")

    def call(self, method: str, params: Any = None) -> int:
        """Send a request without waiting for its answer; return its id."""
        self._last_id += 1
        message: Json = {"jsonrpc": "2.0", "id": self._last_id, "method": method}
        if params is not None:
            message["params"] = params
        self.send(message)
        return self._last_id

    def notify(self, method: str, params: Json) -> None:
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def result(self, request_id: int | str | None, timeout: float = TIMEOUT) -> Any:
        """Wait for the answer to a request; raise `Refused` if it is an error."""
        answer = self.wait_for(
            lambda message: "method" not in message and message["id"] == request_id, timeout
        )
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["result"]

    def request(self, method: str, params: Json | None = None, timeout: float = TIMEOUT) -> Any:
        return self.result(self.call(method, params), timeout)

    def wait_for(
        self, wanted: Callable[[Json], bool], timeout: float = TIMEOUT, *, after: int = 0
    ) -> Json:
        """Return the first message that is wanted, counted from number `after`."""
        deadline = time.monotonic() + timeout
        position = after
        with self._changed:
            while True:
                for message in self.messages[position:]:
                    if wanted(message):
                        return message
                position = len(self.messages)
                left = deadline - time.monotonic()
                if left <= 0 or self._ended:
                    state = "the agent ended" if self._ended else "timed out"
                    raise TimeoutError(f"{state}; last messages: {self.messages[-3:]}")
                self._changed.wait(left)

    # The usual opening moves

    def initialize(self, name: str = "tests", **params: Any) -> Any:
        return self.request(
            "initialize",
            {
                "protocolVersion": 1,
                "clientCapabilities": {},
                "clientInfo": {"name": name, "version": "1"},
                **params,
            },
        )

    def new_session(self, cwd: Path, **params: Any) -> str:
        result = self.request("session/new", {"cwd": str(cwd), "mcpServers": [], **params})
        session_id = result["sessionId"]
        assert isinstance(session_id, str)
        return session_id

    def begin_prompt(self, session_id: str, text: str = "go") -> int:
        blocks = [{"type": "text", "text": text}]
        return self.call("session/prompt", {"sessionId": session_id, "prompt": blocks})

    def prompt(self, session_id: str, text: str = "go", timeout: float = TIMEOUT) -> str:
        """Run a turn; return its stop reason."""
        result = self.result(self.begin_prompt(session_id, text), timeout)
        reason = result["stopReason"]
        assert isinstance(reason, str)
        return reason

    def updates(self, session_id: str, kind: str | None = None) -> list[Json]:
        """Return the updates of a session so far, of one kind if given."""
        with self._changed:
            messages = list(self.messages)
        return [
            message["params"]["update"]
            for message in messages
            if message.get("method") == "session/update"
            and message["params"]["sessionId"] == session_id
            and kind in (None, message["params"]["update"]["sessionUpdate"])
        ]

    def wait_update(self, session_id: str, wanted: Callable[[Json], bool]) -> Json:
        """Wait for an update of a session."""
        message = self.wait_for(
            lambda message: (
                message.get("method") == "session/update"
                and message["params"]["sessionId"] == session_id
                and wanted(message["params"]["update"])
            )
        )
        update = message["params"]["update"]
        assert isinstance(update, dict)
        return update

    def text(self, session_id: str) -> str:
        """Return the answers so far, joined."""
        chunks = self.updates(session_id, "agent_message_chunk")
        return "".join(chunk["content"]["text"] for chunk in chunks)

    def calls(self, session_id: str) -> dict[str, Json]:
        """Return the tool calls of a session as an IDE shows them, by their ids."""
        return merged_calls(self.updates(session_id))

    def questions(self, session_id: str) -> list[Json]:
        """Return the parameters of the permission questions of a session."""
        with self._changed:
            messages = list(self.messages)
        return [
            message["params"]
            for message in messages
            if message.get("method") == "session/request_permission"
            and message["params"]["sessionId"] == session_id
        ]

    def _read(self) -> None:
        assert self.process.stdout is not None
        try:
            for line in self.process.stdout:
                self._take(line)
        except (ValueError, OSError):
            pass  # closed by the test
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _take(self, line: bytes) -> None:
        if not line.endswith(b"\n"):
            return  # cut by the end of the process
        try:
            message = json.loads(line)
        except ValueError:
            self.noise.append(line)
            return
        self.exchange.add("agent", message)
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()
        if "method" in message and "id" in message:
            result = self.answer(message)
            if result is not None:
                with contextlib.suppress(OSError, ValueError):
                    self.send({"jsonrpc": "2.0", "id": message["id"], "result": result})

    def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._stderr.append(line)


def merged_calls(updates: Iterable[Json]) -> dict[str, Json]:
    """Fold tool call updates into the calls as an IDE shows them."""
    calls: dict[str, Json] = {}
    for update in updates:
        if update["sessionUpdate"] in ("tool_call", "tool_call_update"):
            calls.setdefault(update["toolCallId"], {}).update(update)
    return calls


def messages_of(updates: Iterable[Json]) -> list[tuple[str, str, str]]:
    """Join chunks to (kind, message id, text), in the order in which the messages began."""
    texts: dict[tuple[str, str], str] = {}
    for update in updates:
        if update["sessionUpdate"].endswith("_chunk"):
            key = (update["sessionUpdate"], update["messageId"])
            texts[key] = texts.get(key, "") + update["content"].get("text", "")
    return [(kind, message_id, text) for (kind, message_id), text in texts.items()]


def kill_server(state: Path) -> int | None:
    """End the server of a state folder at once; return its process, if there was one."""
    record = read_record(state)
    if record is None:
        return None
    os.kill(record.pid, signal.SIGKILL)
    # Clients that are still there may start another one at once.
    assert eventually(lambda: read_record(state) != record)
    return record.pid


def process_exists(pid: int) -> bool:
    """Tell whether a process runs (a zombie does not)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    if state.exists():
        try:
            return state.read_text().rsplit(")", 1)[1].split()[0] != "Z"
        except OSError:
            return False
    return True


def eventually(check: Callable[[], bool], timeout: float = 5.0) -> bool:
    """Tell whether something becomes true in time."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if check():
            return True
        time.sleep(0.02)
    return check()
