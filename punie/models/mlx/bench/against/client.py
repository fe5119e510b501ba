"""A client of an OpenAI-compatible server that notes when what comes.

Lean on purpose: what it takes counts for the server.
"""

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from punie.models.endpoint import KEY_VARIABLE, Endpoint, one_line, reason_of
from punie.models.mlx.bench.against.chunks import Arriving
from punie.models.mlx.bench.against.messages import chat_of, served_messages
from punie.models.mlx.bench.rows import BenchError
from punie.models.mlx.bench.sides import End, Event, Question
from punie.models.mlx.chat_format import ChatMessage, ToolSpecification, tool_dictionary

_CONNECT_SECONDS = 10.0
_SILENT_SECONDS = 600.0
"""A long prompt takes minutes to read, and not every server says meanwhile that it is there."""


@dataclass(frozen=True)
class Peer:
    """A server to compare with; `pid` is its process if it was started here.

    `title` names it in sentences, `model` is what it calls its model, None for the one it was
    started with. `idle_path`, below its host, is asked for what needs no model.
    """

    title: str
    endpoint: Endpoint
    model: str | None
    idle_path: str
    key: str | None = field(default=None, repr=False)
    pid: int | None = None


class Client:
    """Asks a server, as one side of a comparison; `quiet` switches a model's thinking off."""

    def __init__(self, http: httpx2.AsyncClient, peer: Peer, *, quiet: bool) -> None:
        self._http = http
        self._peer = peer
        self._quiet = quiet

    @asynccontextmanager
    async def answer(self, question: Question) -> AsyncGenerator[AsyncIterator[Event]]:
        """Stream an answer; leaving the context closes the connection. See `Side`."""
        chat, tools = chat_of(question.messages, question.parameters)
        async with self.chat(chat, tools, question.max_tokens) as events:
            yield events

    @asynccontextmanager
    async def chat(
        self,
        messages: Sequence[ChatMessage],
        tools: Sequence[ToolSpecification],
        max_tokens: int,
    ) -> AsyncGenerator[AsyncIterator[Event]]:
        """Stream the answer to messages as chat templates have them; raise `BenchError`."""
        body = self._body(messages, tools, max_tokens)
        url = f"{self._peer.endpoint.url}/chat/completions"
        opened = self._http.stream("POST", url, json=body, headers=self._headers())
        try:
            response = await opened.__aenter__()
        except httpx2.HTTPError as error:
            raise self._failed(error) from error
        try:
            if response.status_code != 200:
                raise await self._refused(response, with_tools=bool(tools))
            async with aclosing(self._events(response)) as events:
                yield events
        finally:
            await opened.__aexit__(None, None, None)

    async def round_trip(self) -> float:
        """Return the seconds for a request that needs no model."""
        begin = time.perf_counter()
        url = httpx2.URL(self._peer.endpoint.url).copy_with(path=self._peer.idle_path)
        try:
            await self._http.get(url, headers=self._headers())
        except httpx2.HTTPError as error:
            raise self._failed(error) from error
        return time.perf_counter() - begin

    def _headers(self) -> dict[str, str]:
        key = self._peer.key
        return {} if key is None else {"Authorization": f"Bearer {key}"}

    def _body(
        self,
        messages: Sequence[ChatMessage],
        tools: Sequence[ToolSpecification],
        max_tokens: int,
    ) -> dict[str, Any]:
        body: dict[str, Any] = {
            "messages": served_messages(messages),
            "max_tokens": max_tokens,
            "temperature": 0.0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if tools:
            body["tools"] = [tool_dictionary(tool) for tool in tools]
        if self._peer.model is not None:
            body["model"] = self._peer.model
        if self._quiet:
            body["chat_template_kwargs"] = {"enable_thinking": False}
        return body

    async def _events(self, response: httpx2.Response) -> AsyncGenerator[Event]:
        answer = Arriving()
        try:
            async for line in response.aiter_lines():
                if line.startswith("data:") and (data := line[5:].strip()) != "[DONE]":
                    for piece in answer.take(data):
                        yield piece
        except ValueError as error:
            raise BenchError(self._not_compatible()) from error
        except httpx2.HTTPError as error:
            raise self._failed(error, in_stream=True) from error
        if answer.error is not None:
            raise BenchError(self._broke_off(answer.error))
        if not answer.has_begun:
            raise BenchError(self._not_compatible())
        if not answer.has_ended:
            raise BenchError(self._broke_off(""))
        yield End(answer.calls(), answer.counts)

    async def _refused(self, response: httpx2.Response, *, with_tools: bool) -> BenchError:
        code, server = response.status_code, self._server
        try:
            content = await response.aread()
        except httpx2.HTTPError as error:
            return self._failed(error)
        reason = one_line(_reason(content) or "without a reason")
        if 300 <= code < 400:
            return BenchError(f"{server} points to another place ({code}); name that instead")
        if code in (401, 403):
            cure = f"set {KEY_VARIABLE} or openai_key_file"
            return BenchError(f"{server} does not accept the key ({code}); {cure}")
        if code == 404:
            model = "such a model" if self._peer.model is None else f"model {self._peer.model}"
            return BenchError(
                f"{server} has no {model}, or nothing there (404: {reason}); correct "
                f"{self._peer.endpoint.named_by}, as http://HOST:PORT/v1#MODEL"
            )
        if code >= 500:
            return BenchError(f"{server} failed ({code}: {reason}); see its log")
        what = "a request with tools" if with_tools else "the request"
        return BenchError(f"{server} refuses {what} ({code}: {reason})")

    def _failed(self, error: httpx2.HTTPError, *, in_stream: bool = False) -> BenchError:
        if isinstance(error, httpx2.TimeoutException):
            return BenchError(f"{self._server} did not answer in time; see whether it works")
        if in_stream or isinstance(error, httpx2.RemoteProtocolError):
            return BenchError(self._broke_off(""))
        cure = f"start it, or correct {self._peer.endpoint.named_by}"
        return BenchError(f"{self._server} cannot be reached; {cure}")

    def _not_compatible(self) -> str:
        cure = f"correct {self._peer.endpoint.named_by}"
        return f"{self._server} does not answer as an OpenAI-compatible one does; {cure}"

    def _broke_off(self, reason: str) -> str:
        said = f" ({reason})" if reason else ""
        return f"{self._server} broke off in the middle of an answer{said}"

    @property
    def _server(self) -> str:
        return self._peer.title


def _reason(content: bytes) -> str:
    try:
        return reason_of(json.loads(content))
    except ValueError:
        return content.decode(errors="replace")


@asynccontextmanager
async def open_http(endpoint: Endpoint) -> AsyncGenerator[httpx2.AsyncClient]:
    """Open a client of that server alone: it follows nobody who points to another one."""
    async with httpx2.AsyncClient(
        timeout=httpx2.Timeout(_SILENT_SECONDS, connect=_CONNECT_SECONDS),
        follow_redirects=False,
        # What is said to this machine must not go through a proxy.
        trust_env=not endpoint.is_local,
    ) as http:
        yield http
