"""Checks a whole conversation: every message by the schema, and the order the protocol wants.

What is checked applies to every client of the end-to-end tests, after each test.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.e2e import schema

Json = dict[str, Any]
Side = Literal["client", "agent"]

# What the agent may only send to a client that offers it: path in the client's capabilities.
_GATED_METHODS: dict[str, tuple[str, ...]] = {
    "fs/read_text_file": ("fs", "readTextFile"),
    "fs/write_text_file": ("fs", "writeTextFile"),
    "terminal/create": ("terminal",),
    "terminal/output": ("terminal",),
    "terminal/wait_for_exit": ("terminal",),
    "terminal/kill": ("terminal",),
    "terminal/release": ("terminal",),
}
_GATED_UPDATES: dict[str, tuple[str, ...]] = {
    "notice": ("session", "notices"),
    "compaction_update": ("session", "compaction"),
    "compaction_summary_chunk": ("session", "compaction"),
}
_OPENING = frozenset({"session/load", "session/resume"})
_ENDED = frozenset({"completed", "failed"})


@dataclass
class _Session:
    """What the client has been told of a session; the statuses of its calls."""

    calls: dict[str, str] = field(default_factory=dict)
    seen_from_the_start: bool = True


class Exchange:
    """What one client and its agent have said to each other.

    `sound` tells that the client keeps to the protocol; of one that breaks it on purpose only
    what the agent answers is checked.
    """

    def __init__(self, *, sound: bool = True) -> None:
        self.sound = sound
        self.open = True
        self.checked = 0
        self._unchecked: list[tuple[Side, Json]] = []
        self._asked: dict[Any, Json] = {}
        self._asked_by_agent: dict[Any, str] = {}
        self._offered: Json = {}
        self._sessions: dict[str, _Session] = {}

    def add(self, side: Side, message: Json) -> None:
        """Take what one side wrote; both sides' threads may call it."""
        self._unchecked.append((side, message))

    def faults(self) -> list[str]:
        """Check what came since the last call, and return what is wrong with it."""
        entries, self._unchecked = self._unchecked, []
        found: list[str] = []
        for side, message in entries:
            of_one = self._of_client(message) if side == "client" else self._of_agent(message)
            found += [f"{fault}\n    in {str(message)[:600]}" for fault in of_one]
            self.checked += 1
        return found

    def _of_client(self, message: Json) -> Iterator[str]:
        method = message.get("method")
        if method is None:
            asked = self._asked_by_agent.pop(message.get("id"), None)
            if self.sound and asked is not None and "result" in message:
                yield from schema.faults(asked, "Response", message["result"])
        elif "id" in message:
            # Whether it is sound shows when it is answered: a refused one need not be.
            self._asked[_key(message["id"])] = message
            params = message.get("params")
            if isinstance(params, dict):
                if method == "initialize" and isinstance(params.get("clientCapabilities"), dict):
                    self._offered = params["clientCapabilities"]
                if method in _OPENING:
                    begun = _Session(seen_from_the_start=method == "session/load")
                    self._sessions.setdefault(str(params.get("sessionId")), begun)
        elif self.sound and (method, "Notification") in schema.methods():
            yield from schema.faults(method, "Notification", message.get("params"))

    def _of_agent(self, message: Json) -> Iterator[str]:
        yield from _envelope(message)
        method = message.get("method")
        if method is None:
            yield from self._answer(message)
            return
        kind = "Request" if "id" in message else "Notification"
        wrong = schema.faults(method, kind, message.get("params"))
        yield from wrong
        if "id" in message:
            self._asked_by_agent[message["id"]] = method
        if not wrong:
            yield from self._permitted(method, message["params"])
            if method == "session/update":
                yield from self._update(message["params"])

    def _answer(self, message: Json) -> Iterator[str]:
        request = self._asked.pop(_key(message.get("id")), None)
        if "error" in message:
            yield from _plain(message["error"])
            return
        if request is None:
            return
        method, params = request["method"], request.get("params", {})
        if self.sound and (method, "Request") in schema.methods(unstable=True):
            yield from (f"the client is wrong: {it}" for it in _request(method, params))
        yield from schema.faults(method, "Response", message["result"])
        yield from self._boolean_options(message["result"])
        if method in ("session/new", "session/fork"):
            self._sessions[message["result"]["sessionId"]] = _Session()
        elif method == "session/prompt":
            session = self._sessions.get(params["sessionId"], _Session())
            left = {call: at for call, at in session.calls.items() if at not in _ENDED}
            if left:
                yield f"the prompt was answered while calls are open: {left}"

    def _permitted(self, method: str, params: Json) -> Iterator[str]:
        capability = _GATED_METHODS.get(method)
        if method == "elicitation/create":
            capability = ("elicitation", params["mode"])
        if method == "session/update":
            update = params["update"]
            capability = _GATED_UPDATES.get(update["sessionUpdate"])
            yield from self._boolean_options(update)
            blocks = update.get("content")
            if isinstance(blocks, list) and any(
                block.get("type") == "terminal" for block in blocks
            ):
                capability = ("terminal",)
        if capability is not None and not self._offers(capability):
            yield f"the client does not offer {'.'.join(capability)}"

    def _boolean_options(self, holder: Json) -> Iterator[str]:
        options = holder.get("configOptions") or []
        boolean = ("session", "configOptions", "boolean")
        if any(option["type"] == "boolean" for option in options) and not self._offers(boolean):
            yield "the client does not offer boolean options"

    def _offers(self, capability: tuple[str, ...]) -> bool:
        value: Any = self._offered
        for key in capability:
            value = value.get(key) if isinstance(value, dict) else None
        return value is not None and value is not False

    def _update(self, params: Json) -> Iterator[str]:
        session = self._sessions.get(params["sessionId"])
        update = params["update"]
        if session is None:
            yield "an update came for a session that the client does not know yet"
            return
        kind, call = update["sessionUpdate"], update.get("toolCallId")
        if kind == "tool_call":
            session.calls[call] = update.get("status", "pending")
        elif kind == "tool_call_update":
            before = session.calls.get(call)
            if before is None and session.seen_from_the_start:
                yield "an update came for a call that was not announced"
            if before in _ENDED:
                yield "an update came for a call that had ended"
            session.calls[call] = update.get("status") or before or "pending"


def _request(method: str, params: Json) -> list[str]:
    return schema.faults(method, "Request", params)


def _envelope(message: Json) -> Iterator[str]:
    if message.get("jsonrpc") != "2.0":
        yield "the message does not say jsonrpc 2.0"
    allowed = {"jsonrpc", "id", "method", "params"}
    if "method" not in message:
        allowed = {"jsonrpc", "id", "error" if "error" in message else "result"}
        if not allowed <= message.keys():
            yield f"the answer lacks {allowed - message.keys()}"
    if message.keys() - allowed:
        yield f"the message has keys of no use: {message.keys() - allowed}"


def _plain(error: Json) -> Iterator[str]:
    yield from schema.error_faults(error)
    text = str(error.get("message"))
    if error.keys() != {"code", "message"}:
        yield "an error is a code and one sentence"
    if "\n" in text or "Traceback" in text or not text.endswith("."):
        yield f"the error is not one plain sentence: {text!r}"


def _key(request_id: Any) -> str:
    return f"{type(request_id).__name__} {request_id}"
