"""JSON-RPC lines from and to a client: the transport under the SDK's `run_agent`.

Nothing that a client writes can end the process, and nothing but a sound request reaches the SDK.
"""

import json
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, assert_never

import anyio
from anyio import get_cancelled_exc_class

from punie.acp.errors import plain_error
from punie.acp.requests import Incoming
from punie.wire.messages import (
    CANCELLED,
    INVALID_REQUEST,
    Message,
    Notification,
    Request,
    RequestId,
    Response,
    WireError,
    error_message,
    parse_line,
    without_meta,
)

MESSAGE_LIMIT = 32 * 1024 * 1024 - 1024
"""Bytes of one outgoing message; the TypeScript SDK ends the connection at 32 MiB."""

UNROUTED_METHODS = frozenset({"logout", "session/delete"})
"""Methods of the protocol that the SDK does not know; the agent's `ext_method` serves them."""

# The ids of the requests to the client that were made in the current task.
_asked: ContextVar[list[RequestId] | None] = ContextVar("asked", default=None)
CANCEL_METHODS = frozenset({"$/cancel_request", "$/cancelRequest"})


Tap = Callable[[dict[str, Any], bool], None]
"""Sees a message; the flag tells whether it came from the client."""


class Inlet(Protocol):
    """Where the client's lines come from."""

    async def receive(self) -> Sequence[bytes | None]:
        """Return the lines that came, None for one that is too large to take.

        Raises `anyio.EndOfStream` at the end.
        """

    def stop(self) -> None:
        """Make the input end now; call it in the event loop."""


class Outlet(Protocol):
    """Where the lines for the client go, in the order of the calls."""

    async def write(self, data: bytes) -> None:
        """Write a line and wait until the client's end took it."""

    def post(self, data: bytes) -> None:
        """Write a line without waiting for it."""


class AgentTransport:
    """Moves messages between the SDK and one client.

    `wind_down` is awaited at the end of the input before the SDK hears of it: time to answer what
    is still open. `tap` sees every sound message.
    """

    def __init__(
        self,
        inlet: Inlet,
        outlet: Outlet,
        *,
        wind_down: Callable[[], Awaitable[None]],
        tap: Tap | None = None,
    ) -> None:
        self._inlet = inlet
        self._outlet = outlet
        self._tap = tap
        self._wind_down = wind_down
        self._ready: deque[dict[str, Any]] = deque()
        self._open: dict[RequestId, Incoming] = {}
        self._unanswered: set[RequestId] = set()

    @property
    def has_open_requests(self) -> bool:
        """Whether a request of the client still waits for its answer."""
        return bool(self._open)

    def stop(self) -> None:
        """Make the input end now; call it in the event loop."""
        self._inlet.stop()

    async def receive(self) -> dict[str, Any] | None:
        """Return the next message for the SDK, or None at the end."""
        while not self._ready:
            try:
                lines = await self._inlet.receive()
            except anyio.EndOfStream:
                await self._wind_down()
                return None
            for line in lines:
                self._take(line)
        return self._ready.popleft()

    async def send(self, message: dict[str, Any]) -> None:
        """Write a message; answers to requests that were already answered are dropped."""
        answered: Incoming | None = None
        if "method" in message:
            asked = _asked.get()
            if asked is not None and "id" in message:
                asked.append(message["id"])
                self._unanswered.add(message["id"])
        else:
            answered = self._open.pop(message["id"], None)
            if answered is None:
                return
            if "error" in message:
                message = dict(message)
                message["error"] = plain_error(message["error"], answered.method)
        self._show(message)
        await self._outlet.write(encode(message))
        if answered is not None:
            for call in answered.after_answer:
                call()

    async def notify(self, method: str, params: dict[str, Any]) -> None:
        """Write a notification and wait until the client's pipe took it."""
        message = _envelope(method, params)
        self._show(message)
        await self._outlet.write(encode(message))

    @contextmanager
    def withdrawing(self) -> Iterator[None]:
        """Tell the client when a request of ours that is made in here is no longer waited for."""
        asked: list[RequestId] = []
        token = _asked.set(asked)
        try:
            yield
        except get_cancelled_exc_class():
            for request_id in asked:
                if request_id in self._unanswered:
                    cancel = _envelope("$/cancel_request", {"requestId": request_id})
                    self._show(cancel)
                    self._outlet.post(encode(cancel))
            raise
        finally:
            _asked.reset(token)
            self._unanswered.difference_update(asked)

    async def close(self) -> None:
        """Stop reading. Nothing is waited for: a client that reads nothing must not hold us."""
        self._inlet.stop()

    def _show(self, message: dict[str, Any], *, incoming: bool = False) -> None:
        if self._tap is not None:
            self._tap(message, incoming)

    def _take(self, line: bytes | None) -> None:
        if line is None:
            self._refuse(WireError(INVALID_REQUEST, "The message is too large."))
            return
        if not line.strip():
            return
        try:
            self._deliver(parse_line(line))
        except WireError as error:
            self._refuse(error)

    def _refuse(self, error: WireError) -> None:
        answer = error_message(error.request_id, error.code, str(error))
        self._outlet.post(encode(answer))

    def _deliver(self, message: Message) -> None:
        if isinstance(message, Request):
            self._deliver_request(message)
        elif isinstance(message, Notification):
            self._deliver_notification(message)
        elif isinstance(message, Response):
            if message.message is not None:
                self._unanswered.discard(message.message["id"])
                self._show(message.message, incoming=True)
                self._ready.append(message.message)
        else:
            assert_never(message)

    def _deliver_request(self, request: Request) -> None:
        if request.id in self._open:
            # The first one keeps the id; two answers under it could not be told apart.
            raise WireError(INVALID_REQUEST, "A request with that id is still open.", request.id)
        params, meta = without_meta(request.params)
        incoming = Incoming(request.id, request.method, dict(params), meta)
        self._open[request.id] = incoming
        method = request.method
        self._show(_envelope(method, request.params, id=request.id), incoming=True)
        if method in UNROUTED_METHODS:
            # The SDK hands methods that begin so to `ext_method`; no JSON can hold our object.
            method, params = f"_{method}", {"request": incoming}
        elif not method.startswith("_"):
            # The SDK spreads `_meta` over the handler's arguments; so it gets one key of ours.
            params["_meta"] = {"request": incoming}
        self._ready.append(_envelope(method, params, id=request.id))

    def _deliver_notification(self, notification: Notification) -> None:
        if notification.method in CANCEL_METHODS:
            self._cancel(notification.params.get("requestId"))
        elif notification.method == "session/cancel":
            params, _ = without_meta(notification.params)
            if isinstance(params.get("sessionId"), str):
                self._ready.append(_envelope(notification.method, params))

    def _cancel(self, request_id: Any) -> None:
        if not isinstance(request_id, str | int | float | None):
            return
        incoming = self._open.get(request_id)
        if incoming is not None:
            incoming.cancel()


def encode(message: dict[str, Any], limit: int = MESSAGE_LIMIT) -> bytes:
    """Return the message as one line of at most `limit` bytes; the longest texts give way."""
    data = _line(message)
    longest = limit // 4
    while len(data) > limit and longest > 64:
        message = _shorten(message, longest)
        data = _line(message)
        longest //= 2
    if len(data) > limit:
        sentence = "The answer is too large to send."
        return _line(error_message(message.get("id"), CANCELLED, sentence))
    return data


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def _shorten(value: Any, longest: int) -> Any:
    if isinstance(value, str) and len(value) > longest:
        return value[:longest] + "\n… (cut, too large to show)"
    if isinstance(value, dict):
        return {key: _shorten(item, longest) for key, item in value.items()}
    if isinstance(value, list):
        return [_shorten(item, longest) for item in value]
    return value


def _envelope(method: str, params: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", **members, "method": method, "params": params}
