"""The client's side of files and terminals: unsaved editors over the disk, programs that run."""

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tests.e2e.client import Client, Json, allow

FILES = {"fs": {"readTextFile": True, "writeTextFile": True}}
TERMINAL = {"terminal": True}


class Failure(Exception):  # noqa: N818 - what the client answers
    """An answer that is an error."""

    def __init__(self, message: str, details: str | None = None) -> None:
        super().__init__(message)
        self.error: Json = {"code": -32603, "message": message}
        if details is not None:
            self.error["data"] = {"details": details}


@dataclass
class Terminal:
    process: "subprocess.Popen[bytes]"
    screen: IO[bytes]
    limit: int
    command: Json
    released: bool = False


@dataclass
class Ide:
    """Answers what the agent asks for; other questions go to `answer`.

    `silent` holds methods that are never answered, `failing` those that fail, and how.
    """

    client: Client
    answer: Callable[[Json], Json | None] = allow
    buffers: dict[str, str] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    failing: dict[str, Failure] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    terminals: dict[str, Terminal] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.client.answer = self._answer

    def requests(self, method: str) -> list[Json]:
        """Return the parameters of the requests of a method so far."""
        return [
            message["params"]
            for message in list(self.client.messages)
            if message.get("method") == method
        ]

    def close(self) -> None:
        for terminal in self.terminals.values():
            _end(terminal)

    def _answer(self, request: Json) -> Json | None:
        method = request["method"]
        if not method.startswith(("fs/", "terminal/")):
            return self.answer(request)
        self.asked.append(method)
        if method in self.silent:
            return None
        if method == "terminal/wait_for_exit":
            threading.Thread(target=self._reply, args=(request,), daemon=True).start()
        else:
            self._reply(request)
        return None

    def _reply(self, request: Json) -> None:
        message: Json = {"jsonrpc": "2.0", "id": request["id"]}
        try:
            if request["method"] in self.failing:
                raise self.failing[request["method"]]
            message["result"] = self._serve(request["method"], request["params"])
        except Failure as failure:
            message["error"] = failure.error
        with contextlib.suppress(OSError, ValueError):
            self.client.send(message)

    def _serve(self, method: str, params: Json) -> Json:
        match method:
            case "fs/read_text_file":
                return {"content": self._read(params["path"])}
            case "fs/write_text_file":
                self.buffers.pop(params["path"], None)
                Path(params["path"]).write_text(params["content"])
                return {}
            case "terminal/create":
                return {"terminalId": self._create(params)}
        terminal = self.terminals[params["terminalId"]]
        if terminal.released:
            raise Failure("Unknown terminal")
        match method:
            case "terminal/wait_for_exit":
                code = terminal.process.wait()
                if code < 0:
                    return {"exitCode": None, "signal": signal.Signals(-code).name}
                return {"exitCode": code, "signal": None}
            case "terminal/output":
                terminal.screen.seek(0)
                data = terminal.screen.read()
                truncated = len(data) > terminal.limit
                return {"output": data[-terminal.limit :].decode(), "truncated": truncated}
            case "terminal/kill":
                _end(terminal)
            case "terminal/release":
                _end(terminal)
                terminal.released = True
            case _:
                raise Failure(f"Unknown method {method}")
        return {}

    def _read(self, path: str) -> str:
        if path in self.buffers:
            return self.buffers[path]
        try:
            return Path(path).read_text()
        except OSError as error:
            raise Failure("Internal error", str(error)) from error

    def _create(self, params: Json) -> str:
        screen = tempfile.TemporaryFile()  # noqa: SIM115, lives as long
        process = subprocess.Popen(
            [params["command"], *params.get("args", [])],
            cwd=params["cwd"],
            env={**os.environ, **{item["name"]: item["value"] for item in params.get("env", [])}},
            stdin=subprocess.DEVNULL,
            stdout=screen,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        name = f"terminal-{len(self.terminals) + 1}"
        self.terminals[name] = Terminal(process, screen, params["outputByteLimit"], params)
        return name


def _end(terminal: Terminal) -> None:
    if terminal.process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(terminal.process.pid, signal.SIGKILL)
