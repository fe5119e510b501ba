"""A language server as it answers to anybody: questions and answers as they go over the wire."""

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

Json = dict[str, Any]


class RawServer:
    """`ty server` on a project; lines and characters are the protocol's, in UTF-16."""

    def __init__(self, root: Path) -> None:
        self._number = 0
        self._process = subprocess.Popen(
            [str(Path(sys.executable).parent / "ty"), "server"],
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        document = {"documentSymbol": {"hierarchicalDocumentSymbolSupport": True}, "diagnostic": {}}
        self.ask(
            "initialize",
            {
                "processId": None,
                "rootUri": root.as_uri(),
                "workspaceFolders": [{"uri": root.as_uri(), "name": root.name}],
                "capabilities": {"textDocument": document},
            },
        )
        self._send({"method": "initialized", "params": {}})

    def __enter__(self) -> "RawServer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()

    def ask(self, method: str, parameters: Json) -> Any:
        """Return the result of a request."""
        self._number += 1
        self._send({"id": self._number, "method": method, "params": parameters})
        while (message := self._receive()).get("id") != self._number or "method" in message:
            if "id" in message:
                items = message["params"].get("items", [])
                self._send({"id": message["id"], "result": [None] * len(items) or None})
        return message.get("result")

    def at(self, method: str, path: Path, line: int, character: int, **more: Any) -> Any:
        """Return the result of a request about a position, counted from 0."""
        place = {"line": line, "character": character}
        uri = {"uri": path.as_uri()}
        return self.ask(f"textDocument/{method}", {"textDocument": uri, "position": place, **more})

    def _send(self, message: Json) -> None:
        assert self._process.stdin is not None
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self._process.stdin.flush()

    def _receive(self) -> Json:
        assert self._process.stdout is not None
        length = 0
        while line := self._process.stdout.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        message: Json = json.loads(self._process.stdout.read(length))
        return message
