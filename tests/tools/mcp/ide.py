"""A stand-in for the MCP server inside a JetBrains IDE: SSE with CRLF lines, behind a token."""

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]
TOKEN = "token-0123456789abcdef"


def ide_tool(name: str, required: list[str], **properties: Json) -> Json:
    properties["projectPath"] = {"type": "string", "description": "The project's path. " * 20}
    return {
        "name": name,
        "description": f"{name} as the IDE describes it, at length. " * 30,
        "inputSchema": {"type": "object", "properties": properties, "required": required},
    }


TEXT: Json = {"type": "string"}
FULL: list[Json] = [
    ide_tool("read_file", ["file_path"], file_path=TEXT),
    ide_tool("execute_terminal_command", ["command"], command=TEXT),
    ide_tool("reformat_file", ["path"], path=TEXT),
    ide_tool("get_file_problems", ["filePath"], filePath=TEXT, errorsOnly={"type": "boolean"}),
    ide_tool(
        "rename_refactoring",
        ["pathInProject", "symbolName", "newName"],
        pathInProject=TEXT,
        symbolName=TEXT,
        newName=TEXT,
    ),
]
ROUTER: list[Json] = [ide_tool("execute_tool", ["command"], command=TEXT)]


@dataclass
class Ide:
    """What was asked of it; `refused` counts requests without the token."""

    tools: list[Json]
    port: int = 0
    called: list[Json] = field(default_factory=list)
    refused: int = 0
    streams: list["queue.Queue[str | None]"] = field(default_factory=list)

    def environment(self, token: str = TOKEN) -> dict[str, str]:
        """What the IDE's entry has."""
        return {"IJ_MCP_SERVER_PORT": str(self.port), "IJ_MCP_AUTH_TOKEN": token}

    def answer(self, message: Json) -> Json | None:
        method = message.get("method")
        if method == "initialize":
            return {
                "protocolVersion": message["params"]["protocolVersion"],
                "capabilities": {"tools": {"listChanged": True}},
                "serverInfo": {"name": "JetBrains MCP", "version": "1"},
            }
        if method == "tools/list":
            return {"tools": self.tools}
        if method == "tools/call":
            self.called.append(message["params"])
            return {"content": [{"type": "text", "text": "no problems"}], "isError": False}
        return {} if method == "ping" else None


@contextmanager
def running_ide(tools: list[Json]) -> Iterator[Ide]:
    """Run one on a port of its own."""
    ide = Ide(tools)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def allowed(self) -> bool:
            token = self.headers.get("IJ_MCP_AUTH_TOKEN")
            if token == TOKEN and self.headers.get("Authorization") == f"Bearer {TOKEN}":
                return True
            ide.refused += 1
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return False

        def do_GET(self) -> None:
            if not self.allowed():
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            events: queue.Queue[str | None] = queue.Queue()
            ide.streams.append(events)
            # As the IDE writes it: the data comes before its name.
            self.event(f"/message?sessionId={len(ide.streams) - 1}", "endpoint")
            while (data := events.get()) is not None:
                self.event(data, "message")
            self.close_connection = True

        def event(self, data: str, name: str) -> None:
            self.wfile.write(f"data: {data}\r\nevent: {name}\r\n\r\n".encode())
            self.wfile.flush()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if not self.allowed():
                return
            message = json.loads(body)
            result = ide.answer(message)
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()
            if "id" in message and result is not None:
                number = int(self.path.rpartition("=")[2])
                reply = {"jsonrpc": "2.0", "id": message["id"], "result": result}
                ide.streams[number].put(json.dumps(reply))

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    ide.port = listener.server_address[1]
    thread = threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield ide
    finally:
        for stream in ide.streams:
            stream.put(None)
        listener.shutdown()
        listener.server_close()
