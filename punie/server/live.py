"""What the connections are doing now, for the page: sessions, their latest turns, open questions.

It sees each message that passes and keeps the end of every session, bounded in all directions.
Nobody has to watch; a watcher compares what it has shown with the revisions here.
"""

import itertools
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import anyio

from punie.server.live_items import call_view, plain_text, question_view, short, size_of
from punie.server.live_sessions import ITEM_CHARS, LiveConnection, LiveItem, LiveSession

Json = dict[str, Any]

SESSION_CHARS = 256 * 1024
"""Characters that are kept of one session."""

ALL_CHARS = 16 * 1024 * 1024
"""Characters that are kept of all; those of the sessions that rest go first."""

_TEXT_CHARS = 16 * 1024
_MOST_ITEMS = 500
_MOST_CLOSED = 20
_OPENING = frozenset({"session/new", "session/load", "session/resume", "session/fork"})
_TOLD = _OPENING | {
    "session/prompt",
    "session/close",
    "session/delete",
    "session/set_mode",
    "session/set_config_option",
}
_NEEDED = ("sessionId", "cwd", "modeId")
_CHUNKS = {
    "agent_message_chunk": "text",
    "agent_thought_chunk": "thought",
    "user_message_chunk": "prompt",
}


class Live:
    """All connections and sessions, as the messages that pass tell of them."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.connections: dict[str, LiveConnection] = {}
        self.sessions: OrderedDict[str, LiveSession] = OrderedDict()
        self.revision = 0
        self.watchers = 0
        self.ended = anyio.Event()
        self._clock = clock
        self._chars = 0
        self._asked: dict[tuple[str, Any], tuple[str, Json]] = {}
        self._loading: set[tuple[str, str]] = set()
        self._questions: dict[tuple[str, Any], tuple[str, LiveItem]] = {}
        self._changed = anyio.Event()

    def joined(self, connection_id: str, kind: str) -> None:
        """Note a client that came."""
        self.connections[connection_id] = LiveConnection(connection_id, kind, self._clock())
        self._touch()

    def left(self, connection_id: str) -> None:
        """Note that a client has gone: its sessions are closed."""
        self.connections.pop(connection_id, None)
        for key in [key for key in self._asked if key[0] == connection_id]:
            del self._asked[key]
        self._loading = {key for key in self._loading if key[0] != connection_id}
        for key in [key for key in self._questions if key[0] == connection_id]:
            self._settle(key, "withdrawn")
        for session in list(self.sessions.values()):
            if session.connection is not None and session.connection.id == connection_id:
                self._close(session)
        self._touch()

    def end(self) -> None:
        """Let all watchers go; the server stops."""
        self.ended.set()
        self._wake()

    async def wait_change(self, seen: int) -> None:
        """Return when there is more than revision `seen`, or the server ends."""
        while self.revision == seen and not self.ended.is_set():
            await self._changed.wait()

    def observe(self, connection_id: str, message: Json, *, incoming: bool) -> None:
        """Take note of a message."""
        connection = self.connections.get(connection_id)
        if connection is None:
            return
        method, params = message.get("method"), _object(message.get("params"))
        key = (connection_id, message.get("id"))
        if method is None and incoming:
            self._settle(key, _chosen(message))
        elif method is None:
            self._answered(connection, key, message)
        elif incoming:
            self._from_client(connection, key, str(method), params, message)
        else:
            self._from_agent(connection, key, str(method), params)

    def _from_client(
        self,
        connection: LiveConnection,
        key: tuple[str, Any],
        method: str,
        params: Json,
        message: Json,
    ) -> None:
        if method == "initialize":
            info = _object(params.get("clientInfo"))
            connection.client = short(str(info.get("title") or info.get("name") or ""), 80)
            self._touch()
        if method not in _TOLD or "id" not in message:
            return
        # Of the parameters only what the answer does not say; a prompt may be large.
        self._asked[key] = (method, {name: _text(params.get(name)) for name in _NEEDED})
        if method == "session/load":
            self._loading.add((connection.id, _text(params.get("sessionId"))))
        session = self._session(connection, params)
        if method == "session/prompt" and session is not None:
            session.running.add(key)
            prompt = plain_text(params.get("prompt"))
            # Until it has its title; that comes after the first exchange.
            session.title = session.title or short(prompt.strip().partition("\n")[0], 80)
            self._add(session, "prompt", prompt)

    def _answered(self, connection: LiveConnection, key: tuple[str, Any], message: Json) -> None:
        method, params = self._asked.pop(key, ("", {}))
        if not method:
            return
        result = _object(message.get("result"))
        failed = "error" in message
        session = self._session(connection, params)
        self._loading.discard((connection.id, params["sessionId"]))
        if method in _OPENING and not failed:
            opened = self._opened(connection, result.get("sessionId") or params.get("sessionId"))
            if opened is not None:
                opened.cwd = _text(params.get("cwd")) or opened.cwd
                self._note_state(opened, result)
        elif session is None:
            return
        elif method == "session/prompt":
            session.running.discard(key)
            reason = _object(message.get("error")).get("message") or result.get("stopReason")
            self._withdraw_questions(session)
            self._add(session, "end", "", reason=short(str(reason), 500), failed=failed)
        elif method in ("session/close", "session/delete") and not failed:
            self._close(session)
        elif method == "session/set_mode" and not failed:
            session.mode = _text(params.get("modeId"))
            self._touch(session)
        elif not failed:
            self._note_state(session, result)

    def _from_agent(
        self, connection: LiveConnection, key: tuple[str, Any], method: str, params: Json
    ) -> None:
        if method == "session/update":
            session = self._updated(connection, params)
            update = _object(params.get("update"))
            if session is not None:
                self._update(session, _text(update.get("sessionUpdate")), update)
        elif method in ("session/request_permission", "elicitation/create"):
            session = self._session(connection, params)
            if session is not None:
                self._settle(key, "withdrawn")  # an id that is used again
                session.questions += 1
                view = question_view(params)
                if _text(_object(params.get("toolCall")).get("toolCallId")) in session.calls:
                    view.update(content=[], input="")  # the call above shows them
                item = self._add(session, "question", "", **view)
                self._questions[key] = (session.id, item)
        elif method == "$/cancel_request":
            self._settle((connection.id, _hashable(params.get("requestId"))), "withdrawn")

    def _updated(self, connection: LiveConnection, params: Json) -> LiveSession | None:
        """Return the session of an update; one that is being loaded begins anew."""
        session = self._session(connection, params)
        loading = (connection.id, _text(params.get("sessionId")))
        if session is None:
            session = self._opened(connection, params.get("sessionId"))
        if session is not None and loading in self._loading:
            self._loading.discard(loading)
            self._drop(session, len(session.items))
        return session

    def _update(self, session: LiveSession, kind: str, update: Json) -> None:
        if kind in _CHUNKS:
            self._chunk(session, _CHUNKS[kind], update)
        elif kind in ("tool_call", "tool_call_update"):
            self._call(session, update)
        elif kind == "plan":
            self._plan(session, update)
        elif kind == "notice":
            self._add(session, "notice", short(_text(update.get("title")), _TEXT_CHARS))
        elif kind == "compaction_update":
            self._add(session, "notice", plain_text(update.get("summary")))
        elif kind == "session_info_update":
            session.title = short(_text(update.get("title")), 200) or session.title
            self._touch(session)
        elif kind == "usage_update":
            session.used, session.size = _number(update.get("used")), _number(update.get("size"))
            self._touch(session)
        else:
            self._note_state(session, update)

    def _chunk(self, session: LiveSession, kind: str, update: Json) -> None:
        text = plain_text([update.get("content")])
        message_id = update.get("messageId")
        last = session.items[-1] if session.items else None
        if (
            last is None
            or (last.kind, last.message_id) != (kind, message_id)
            or len(last.text) + len(text) > _TEXT_CHARS
        ):
            self._add(session, kind, text, message_id=_text(message_id) or None)
            return
        last.text += text
        self._grow(session, last, len(text))
        self._touch(session, last)

    def _call(self, session: LiveSession, update: Json) -> None:
        call_id = _text(update.get("toolCallId"))
        item = session.calls.get(call_id)
        if item is None:
            item = session.calls[call_id] = self._add(session, "call", "")
        item.data = call_view(item.data, update)
        item.data["id"] = short(call_id, 100)
        self._resize(session, item)

    def _plan(self, session: LiveSession, update: Json) -> None:
        entries = update.get("entries")
        steps = [
            {"content": short(_text(each.get("content")), 500), "status": _text(each.get("status"))}
            for each in (entries if isinstance(entries, list) else [])[:100]
            if isinstance(each, dict)
        ]
        of_turn = itertools.takewhile(lambda each: each.kind != "prompt", reversed(session.items))
        item = next((each for each in of_turn if each.kind == "plan"), None)
        if item is None:
            item = self._add(session, "plan", "")
        item.data = {"steps": steps}
        self._resize(session, item)

    def _note_state(self, session: LiveSession, state: Mapping[str, Any]) -> None:
        session.mode = (
            _text(state.get("currentModeId"))
            or _text(_object(state.get("modes")).get("currentModeId"))
            or session.mode
        )
        options = state.get("configOptions")
        for option in options if isinstance(options, list) else ():
            if isinstance(option, dict) and option.get("id") in ("mode", "model"):
                setattr(session, option["id"], short(_text(option.get("currentValue")), 200))
        self._touch(session)

    def _session(self, connection: LiveConnection, params: Json) -> LiveSession | None:
        """Return the session that a message names, if it is open for this connection."""
        session = self.sessions.get(_text(params.get("sessionId")))
        return session if session is not None and session.connection is connection else None

    def _opened(self, connection: LiveConnection, session_id: object) -> LiveSession | None:
        if not isinstance(session_id, str):
            return None
        session = self.sessions.get(session_id)
        if session is None:
            session = self.sessions[session_id] = LiveSession(session_id, connection)
        elif session.connection is not connection:
            self._close(session)
        session.connection = connection
        self._touch(session)
        return session

    def _close(self, session: LiveSession) -> None:
        self._withdraw_questions(session)
        session.running.clear()
        session.connection = None
        self._touch(session)
        closed = [each for each in self.sessions.values() if each.connection is None]
        for gone in closed[:-_MOST_CLOSED]:
            self._drop(gone, len(gone.items))
            del self.sessions[gone.id]

    def _settle(self, key: tuple[str, Any], answer: str) -> None:
        """Note how a question was answered."""
        session_id, item = self._questions.pop(key, (None, None))
        session = None if session_id is None else self.sessions.get(session_id)
        if session is not None and item is not None:
            session.questions -= 1
            chosen = next((o["name"] for o in item.data["options"] if o["id"] == answer), answer)
            item.data = {**item.data, "answer": short(chosen, 200)}
            self._touch(session, item, whole=True)

    def _withdraw_questions(self, session: LiveSession) -> None:
        open_ones = [key for key, (named, _) in self._questions.items() if named == session.id]
        for key in open_ones:
            self._settle(key, "withdrawn")

    def _add(
        self,
        session: LiveSession,
        kind: str,
        text: str,
        *,
        message_id: str | None = None,
        **data: Any,
    ) -> LiveItem:
        session.last_number += 1
        item = LiveItem(
            session.last_number, kind, self._clock(), 0, 0, text, message_id=message_id, data=data
        )
        session.items.append(item)
        session.chars += item.chars
        self._chars += item.chars
        self._resize(session, item)
        return item

    def _resize(self, session: LiveSession, item: LiveItem) -> None:
        self._grow(session, item, ITEM_CHARS + len(item.text) + size_of(item.data) - item.chars)
        self._touch(session, item, whole=True)

    def _grow(self, session: LiveSession, item: LiveItem, chars: int) -> None:
        """Count what an item has more, and let old ones go where it is too much."""
        item.chars += chars
        session.chars += chars
        self._chars += chars
        while len(session.items) > 1 and (
            session.chars > SESSION_CHARS or len(session.items) > _MOST_ITEMS
        ):
            self._drop(session, 1)
        if self._chars > ALL_CHARS:
            for resting in self._resting(session):
                self._drop(resting, len(resting.items))
                if self._chars <= ALL_CHARS:
                    return

    def _resting(self, session: LiveSession) -> Iterator[LiveSession]:
        return (each for each in list(self.sessions.values()) if each is not session)

    def _drop(self, session: LiveSession, count: int) -> None:
        for _ in range(count):
            self._forget(session, session.items.popleft())
        if count:
            self._touch(session)

    def _forget(self, session: LiveSession, item: LiveItem) -> None:
        session.chars -= item.chars
        self._chars -= item.chars
        if item.kind == "call":
            for call_id in [name for name, call in session.calls.items() if call is item]:
                del session.calls[call_id]

    def _touch(
        self,
        session: LiveSession | None = None,
        item: LiveItem | None = None,
        *,
        whole: bool = False,
    ) -> None:
        self.revision += 1
        if session is not None:
            session.revision = self.revision
            if session.id in self.sessions:
                self.sessions.move_to_end(session.id)
        if item is not None:
            item.changed = self.revision
            if whole:
                item.revision = self.revision
        if self.watchers:
            self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


def _chosen(message: Json) -> str:
    result = _object(message.get("result"))
    outcome = _object(result.get("outcome"))
    return _text(outcome.get("optionId")) or _text(outcome.get("outcome")) or "answered"


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> int:
    return int(value) if isinstance(value, int | float) else 0


def _hashable(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else None
