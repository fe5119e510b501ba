"""A server on loopback that answers chat requests as OpenAI-compatible servers do."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]


@dataclass
class Answer:
    """One answer: its `deltas` in order, then `finish` and the usage.

    Without `finish` the stream breaks off; with `status` there is none, only the error's `body`.
    Without `usage` none is reported. `error` is sent inside the stream, as servers do that fail
    after they have begun.
    """

    deltas: Sequence[Json] = ()
    finish: str | None = "stop"
    usage: Json | None = field(
        default_factory=lambda: {"prompt_tokens": 20, "completion_tokens": 5}
    )
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    error: Json | None = None
    endless: bool = False


def says(*texts: str, **more: Any) -> Answer:
    """Return an answer of text in pieces."""
    return Answer([{"content": text} for text in texts], **more)


def calls(name: str, *arguments: str, call_id: str = "call_1") -> Answer:
    """Return an answer that calls a tool, whose arguments come in these pieces."""
    first = {"index": 0, "id": call_id, "type": "function"}
    deltas: list[Json] = [
        {"tool_calls": [{**first, "function": {"name": name, "arguments": ""}}]},
        *({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in arguments),
    ]
    return Answer(deltas, finish="tool_calls")


@dataclass
class OpenAIServer:
    """Answers in turn, the last one again and again; what was asked is kept.

    `models` is what it lists; None lists nothing, as some servers do. With `key` it takes no other.
    """

    answers: list[Answer] = field(default_factory=lambda: [says("Hello", " there.")])
    models: list[Json] | None = field(default_factory=lambda: [{"id": "tiny"}])
    key: str | None = None
    url: str = ""
    requests: list[Json] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    gone: threading.Event = field(default_factory=threading.Event)

    def next_answer(self) -> Answer:
        return self.answers[min(len(self.requests), len(self.answers)) - 1]


@contextmanager
def serve_openai(server: OpenAIServer, port: int = 0) -> Iterator[OpenAIServer]:
    """Serve until the context is left."""

    class Handler(_Handler):
        pass

    Handler.served = server
    http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
    thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    served: OpenAIServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if not self._is_allowed():
            return
        if self.path != "/v1/models" or self.served.models is None:
            self._send(404, {"error": "Not Found"})
        else:
            self._send(200, {"object": "list", "data": self.served.models})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self._is_allowed():
            return
        self.served.requests.append(body)
        answer = self.served.next_answer()
        if answer.status != 200:
            self._send(answer.status, answer.body, answer.headers)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with suppress(OSError):
            self._stream(answer)
            return
        self.served.gone.set()

    def _stream(self, answer: Answer) -> None:
        self._event({"choices": [_choice({"role": "assistant", "content": ""})]})
        for delta in answer.deltas:
            self._event({"choices": [_choice(delta)]})
        while answer.endless:
            self._event({"choices": [_choice({"content": "on and "})]})
            self.served.gone.wait(0.01)
        if answer.error is not None:
            self._event({"error": answer.error})
        elif answer.finish is None:
            self.close_connection = True
            self.connection.close()
            return
        else:
            self._event({"choices": [_choice({}, answer.finish)]})
            if answer.usage is not None:
                self._event({"choices": [], "usage": {**answer.usage, "total_tokens": 0}})
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _event(self, content: Json) -> None:
        whole = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "tiny"}
        self._chunk(b"data: " + json.dumps({**whole, **content}).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _is_allowed(self) -> bool:
        given = (self.headers["Authorization"] or "").removeprefix("Bearer ") or None
        self.served.keys.append(given)
        if self.served.key is None or given == self.served.key:
            return True
        self._send(401, {"error": {"message": "Incorrect API key", "code": "invalid_api_key"}})
        return False

    def _send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _choice(delta: Json, finish: str | None = None) -> Json:
    return {"index": 0, "delta": delta, "finish_reason": finish}
