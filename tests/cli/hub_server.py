"""A server on loopback that answers as the hub does, as far as `punie models pull` asks it."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What the server holds and how it misbehaves; every request for a file is noted.

    `cut` is after how many bytes of a file's answer the connection breaks, how many times;
    `stall` after how many it falls silent until `go_on`. `lies` sends other bytes than the
    checksums promise. `ignores_ranges` sends files from the start whatever was asked.
    """

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    status: int | None = None
    cut: dict[str, tuple[int, int]] = field(default_factory=dict)
    stall: dict[str, int] = field(default_factory=dict)
    go_on: threading.Event = field(default_factory=threading.Event)
    stalled: threading.Event = field(default_factory=threading.Event)
    lies: set[str] = field(default_factory=set)
    ignores_ranges: bool = False
    url: str = ""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)

    def add(self, hub_id: str, directory: Path, **more: bytes) -> None:
        """Publish a model's directory."""
        files = {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}
        self.repositories[hub_id] = files | {
            "README.md": b"# A model\n",
            "original/weights.bin": b"not needed",
            "model.gguf": b"not needed either",
            **more,
        }

    def asked_for(self, name: str) -> list[str | None]:
        """Return the ranges that were asked of a file."""
        return [range for file, range in self.asked if file == name]


@contextmanager
def serve_hub(hub: Hub) -> Iterator[Hub]:
    """Serve until the context is left."""

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.hub.tokens.append(self.headers.get("Authorization"))
        if self.hub.status is not None:
            self._answer(self.hub.status, b"busy")
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/[^/]+)?", path):
            self._information(match[1])
        elif match := re.fullmatch(rf"/([^/]+/[^/]+)/resolve/{COMMIT}/(.+)", path):
            if match[1] in self.hub.gated:
                self._answer(403, b"{}", {"X-Error-Code": "GatedRepo"})
            else:
                self._answer(302, b"", {"Location": f"/storage/{match[1]}/{match[2]}"})
        elif match := re.fullmatch(r"/storage/([^/]+/[^/]+)/(.+)", path):
            self._file(match[1], match[2])
        else:
            self._answer(404, b"{}", {"X-Error-Code": "EntryNotFound"})

    def _information(self, hub_id: str) -> None:
        files = self.hub.repositories.get(hub_id)
        if files is None:
            self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            return
        siblings = [_sibling(name, content) for name, content in files.items()]
        found = {"id": hub_id, "modelId": hub_id, "sha": COMMIT, "siblings": siblings}
        self._answer(200, json.dumps(found).encode(), {"Content-Type": "application/json"})

    def _file(self, hub_id: str, name: str) -> None:
        wanted = self.headers.get("Range")
        self.hub.asked.append((name, wanted))
        content = self.hub.repositories[hub_id][name]
        if name in self.hub.lies:
            content = bytes(byte ^ 0xFF for byte in content)
        start = 0
        if wanted is not None and not self.hub.ignores_ranges:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        rest = content[start:]
        stop, times = self.hub.cut.get(name, (0, 0))
        if times:
            self.hub.cut[name] = (stop, times - 1)
            self.wfile.write(rest[:stop])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(2)
            return
        if name in self.hub.stall:
            most = self.hub.stall.pop(name)
            self.wfile.write(rest[:most])
            self.wfile.flush()
            self.hub.stalled.set()
            self.hub.go_on.wait(60)
            rest = rest[most:]
        with suppress(OSError):  # The client may have gone away.
            self.wfile.write(rest)

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _sibling(name: str, content: bytes) -> dict[str, Any]:
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    entry: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": blob}
    if name.endswith((".safetensors", "tokenizer.json", ".gguf", ".bin")):
        sha256 = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"size": len(content), "sha256": sha256, "pointerSize": 134}
    return entry
