"""What is open between a client and the server, so that a lost connection can be made good.

Everything is seen in passing and goes on byte for byte. After a loss the client is told what came
of its requests, and a new connection gets what the server has to know: the handshake and the
sessions that the client has open.

A server counts its requests from the beginning in each connection, and a client may still answer
one of an old connection. So from the second connection on the client sees other numbers than the
server; in the first one they are the same.
"""

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, assert_never

from punie.wire.messages import (
    INTERNAL_ERROR,
    Notification,
    Request,
    RequestId,
    Response,
    WireError,
    error_message,
    parse_line,
)

Json = dict[str, Any]

TURN_LOST = "The Punie server was restarted in the middle of this turn; send the prompt again."
REQUEST_LOST = "The Punie server was restarted before it could answer; try it again."

_INITIALIZE = "initialize"
_PROMPT = "session/prompt"
_OPENING = frozenset({"session/new", "session/load", "session/resume", "session/fork"})
_CLOSING = frozenset({"session/close", "session/delete"})
_CANCEL = "$/cancel_request"
# As punie.acp writes it; what begins so needs no look into its JSON.
_UPDATE = b'{"jsonrpc":"2.0","method":"session/update"'
_CALL = b'"sessionUpdate":"tool_call'
_ENDED = frozenset({"completed", "failed"})


@dataclass(eq=False)
class _Asked:
    """A request of the client that is not answered; `params` are kept as far as they matter."""

    method: str
    params: Json

    @property
    def session(self) -> str | None:
        session = self.params.get("sessionId")
        return session if isinstance(session, str) else None


@dataclass(eq=False)
class Ledger:
    """What one client and the server owe each other, over all connections."""

    _handshake: Json | None = None
    _sessions: dict[str, Json] = field(default_factory=dict)
    _asked: dict[RequestId, list[_Asked]] = field(default_factory=dict)
    _calls: dict[str, set[str]] = field(default_factory=dict)
    _questions: set[int] = field(default_factory=set)
    _offset: int = 0
    _next_question: int = 0
    _replayed: dict[str, str | None] = field(default_factory=dict)

    @property
    def has_open_requests(self) -> bool:
        """Whether the client waits for an answer."""
        return bool(self._asked)

    @property
    def is_replaying(self) -> bool:
        """Whether the server still has to answer what `replay` asked of it."""
        return bool(self._replayed)

    @property
    def sessions(self) -> Mapping[str, Json]:
        """The sessions that the client has open, with the parameters that open each again."""
        return self._sessions

    def from_client(self, line: bytes) -> bytes | None:
        """Note a line of the client; return what the server gets, None for nothing.

        Raises `WireError` for a line that is no message; `str` of it is the answer.
        """
        message = parse_line(line)
        match message:
            case Request(id=request_id, method=method, params=params):
                asked = _Asked(method, _kept(method, params))
                self._asked.setdefault(request_id, []).append(asked)
                return line
            case Notification():
                return line
            case Response():
                return self._answer_of_client(line, message)
            case _:
                assert_never(message)

    def from_server(self, line: bytes) -> bytes | None:
        """Note a line of the server; return what the client gets, None for nothing."""
        if line.startswith(_UPDATE):
            if _CALL in line:
                self._note_call(json.loads(line)["params"])
            return line
        message = json.loads(line)
        if "method" not in message:
            return self._answer_of_server(line, message)
        if "id" in message:
            return self._question(line, message)
        if message["method"] == _CANCEL:
            number = message["params"]["requestId"] + self._offset
            self._questions.discard(number)
            if self._offset:
                message["params"]["requestId"] = number
                return _line(message)
        return line

    def cancels(self) -> list[bytes]:
        """Return what ends the turns that run."""
        return [
            _notification("session/cancel", {"sessionId": asked.session})
            for each in self._asked.values()
            for asked in each
            if asked.method == _PROMPT and asked.session is not None
        ]

    def lost(self) -> list[bytes]:
        """Settle everything that was open, after the connection was lost; return the lines.

        A handshake stays open: the next server answers it.
        """
        lines = [_notification(_CANCEL, {"requestId": number}) for number in self._questions]
        self._questions.clear()
        self._offset = self._next_question
        self._replayed.clear()
        open_requests, self._asked = self._asked, {}
        for request_id, each in open_requests.items():
            for asked in each:
                if asked.method == _INITIALIZE and self._handshake is None:
                    self._asked.setdefault(request_id, []).append(asked)
                else:
                    lines += self._settled(request_id, asked)
        self._calls.clear()
        return lines

    def refuse_open(self, sentence: str) -> list[bytes]:
        """Answer every open request with an error; return the lines."""
        open_requests, self._asked = self._asked, {}
        return [
            refusal(request_id, sentence)
            for request_id, each in open_requests.items()
            for _ in each
        ]

    def replay_handshake(self) -> bytes | None:
        """Return the handshake for a new connection; None if the client made none yet."""
        for request_id, each in self._asked.items():
            if each[0].method == _INITIALIZE:
                return _request(request_id, _INITIALIZE, each[0].params)
        if self._handshake is None:
            return None
        return self._repeat(_INITIALIZE, self._handshake, None)

    def replay_sessions(self) -> list[bytes]:
        """Return what opens the client's sessions again, after the handshake."""
        return [
            self._repeat("session/resume", params, session)
            for session, params in self._sessions.items()
        ]

    def _repeat(self, method: str, params: Json, session: str | None) -> bytes:
        # No client has such an id, so that its answer is ours.
        request_id = f"bridge-{secrets.token_hex(8)}"
        self._replayed[request_id] = session
        return _request(request_id, method, params)

    def _answer_of_client(self, line: bytes, answer: Response) -> bytes | None:
        if answer.message is None or answer.message["id"] not in self._questions:
            return None
        number = answer.message["id"]
        self._questions.discard(number)
        if not self._offset:
            return line
        return _line({**answer.message, "id": number - self._offset})

    def _answer_of_server(self, line: bytes, answer: Json) -> bytes | None:
        request_id = answer.get("id")
        if isinstance(request_id, str) and request_id in self._replayed:
            session = self._replayed.pop(request_id)
            if session is not None and "error" in answer:
                self._sessions.pop(session, None)
            return None
        each = self._asked.get(request_id)
        if each is None:
            return line
        # The server refuses a second request of the same id before it answers the first.
        asked = each.pop(-1 if "error" in answer else 0)
        if not each:
            del self._asked[request_id]
        if "error" not in answer:
            self._succeeded(asked, answer)
        if asked.method == _PROMPT and asked.session is not None:
            self._calls.pop(asked.session, None)
        return line

    def _succeeded(self, asked: _Asked, answer: Json) -> None:
        session = asked.session
        if asked.method == _INITIALIZE:
            self._handshake = asked.params
        elif asked.method in _OPENING:
            opened = _object(answer, "result").get("sessionId", session)
            if isinstance(opened, str):
                self._sessions[opened] = {**asked.params, "sessionId": opened}
        elif session is not None and asked.method in _CLOSING:
            self._sessions.pop(session, None)

    def _question(self, line: bytes, message: Json) -> bytes:
        number = message["id"] + self._offset
        self._questions.add(number)
        self._next_question = max(self._next_question, number + 1)
        if not self._offset:
            return line
        message["id"] = number
        return _line(message)

    def _note_call(self, params: Json) -> None:
        update = params["update"]
        calls = self._calls.setdefault(params["sessionId"], set())
        if update.get("status") in _ENDED:
            calls.discard(update["toolCallId"])
        elif update["sessionUpdate"] == "tool_call" or "status" in update:
            calls.add(update["toolCallId"])

    def _settled(self, request_id: RequestId, asked: _Asked) -> Iterable[bytes]:
        if asked.method != _PROMPT or asked.session is None:
            yield refusal(request_id, REQUEST_LOST)
            return
        for call in sorted(self._calls.pop(asked.session, ())):
            update = {"sessionUpdate": "tool_call_update", "toolCallId": call, "status": "failed"}
            yield _update(asked.session, update)
        yield _update(asked.session, self._told(TURN_LOST))
        answer = {"jsonrpc": "2.0", "id": request_id, "result": {"stopReason": "cancelled"}}
        yield _line(answer)

    def _told(self, sentence: str) -> Json:
        """Return the update that shows a sentence, as the agent shows trouble of its own."""
        capabilities = _object(_object(self._handshake, "clientCapabilities"), "session")
        if isinstance(capabilities.get("notices"), dict):
            return {"sessionUpdate": "notice", "severity": "error", "title": sentence}
        return {
            "sessionUpdate": "agent_message_chunk",
            "content": {"type": "text", "text": sentence},
            "messageId": f"bridge-{secrets.token_hex(8)}",
        }


def refusal(request_id: RequestId, sentence: str) -> bytes:
    """Return the answer that refuses a request with one sentence."""
    return _line(error_message(request_id, INTERNAL_ERROR, sentence))


def wire_refusal(error: WireError) -> bytes:
    """Return the answer to a line that is no message."""
    return _line(error_message(error.request_id, error.code, str(error)))


def _kept(method: str, params: Json) -> Json:
    if method == _INITIALIZE or method in _OPENING:
        return params
    return {"sessionId": params.get("sessionId")}


def _object(values: Any, key: str) -> Json:
    value = values.get(key) if isinstance(values, dict) else None
    return value if isinstance(value, dict) else {}


def _request(request_id: RequestId, method: str, params: Json) -> bytes:
    return _line({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})


def _notification(method: str, params: Json) -> bytes:
    return _line({"jsonrpc": "2.0", "method": method, "params": params})


def _update(session: str, update: Json) -> bytes:
    return _notification("session/update", {"sessionId": session, "update": update})


def _line(message: Json) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()
