"""`mlx_lm.server` in a process of its own on loopback, for comparisons."""

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import anyio
import anyio.to_thread

from punie.models.mlx.bench.rows import BenchError
from punie.models.mlx.chat_format import ToolSpecification, tool_dictionary

_START_SECONDS = 120.0
_ANSWER_SECONDS = 600.0
_END_SECONDS = 10.0


@dataclass(frozen=True)
class ServedAnswer:
    """A response of the server: its text, its calls, and its counts in tokens."""

    text: str
    calls: tuple[tuple[str, Any], ...]
    prompt: int
    cached: int
    output: int
    seconds: float


class Server:
    """A server that runs."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def answer(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[ToolSpecification],
        max_tokens: int,
        options: Mapping[str, object],
    ) -> ServedAnswer:
        """Ask for the response to a conversation of a chat template; greedily.

        `options` go to the template. Raises `BenchError`.
        """
        body = {
            "messages": [_served(message) for message in messages],
            "tools": [tool_dictionary(tool) for tool in tools],
            "max_tokens": max_tokens,
            "temperature": 0.0,
            "chat_template_kwargs": dict(options),
        }
        begin = time.perf_counter()
        found = await anyio.to_thread.run_sync(
            self._exchange, "POST", "/v1/chat/completions", body, abandon_on_cancel=True
        )
        seconds = time.perf_counter() - begin
        message, usage = found["choices"][0]["message"], found["usage"]
        calls = [call["function"] for call in message.get("tool_calls") or ()]
        return ServedAnswer(
            message.get("content") or "",
            tuple((call["name"], json.loads(call["arguments"])) for call in calls),
            usage["prompt_tokens"],
            (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0),
            usage["completion_tokens"],
            seconds,
        )

    def is_ready(self) -> bool:
        """Tell whether it answers."""
        try:
            self._exchange("GET", "/health", None)
        except (OSError, BenchError):
            return False
        return True

    def _exchange(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_ANSWER_SECONDS)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            reason = " ".join(content.decode(errors="replace").split())[:200]
            raise BenchError(f"mlx_lm.server refused a request ({answer.status}: {reason})")
        return json.loads(content)


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[Server]:
    """Run a server with a model, offline, until the context is left; raise `BenchError`."""
    with tempfile.TemporaryFile() as log, _process(directory, log) as (process, port):
        server = Server(port)
        deadline = time.monotonic() + _START_SECONDS
        while not await anyio.to_thread.run_sync(server.is_ready, abandon_on_cancel=True):
            if process.poll() is not None or time.monotonic() > deadline:
                log.seek(0)
                said = log.read().decode(errors="replace").strip().splitlines()
                raise BenchError(f"mlx_lm.server did not start ({(said or ['no word'])[-1]})")
            await anyio.sleep(0.2)
        # The first request loads the model.
        await server.answer([{"role": "user", "content": "Hello"}], (), 2, {})
        yield server


@contextmanager
def _process(directory: Path, log: IO[bytes]) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlx_lm", "server", "--model", str(directory)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "WARNING"]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"},
        start_new_session=True,  # a Ctrl-C is for us; we end it
    )
    try:
        yield process, port
    finally:
        process.terminate()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _served(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message of a chat template as the server takes it."""
    served = dict(message)
    if calls := served.get("tool_calls"):
        served["tool_calls"] = [
            {
                "type": "function",
                "id": f"call_{number}",
                "function": {
                    "name": call["name"],
                    "arguments": json.dumps(call["arguments"], ensure_ascii=False),
                },
            }
            for number, call in enumerate(calls)
        ]
    return served
