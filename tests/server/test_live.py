"""What the server remembers of its connections for the page, message by message."""

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator
from http.client import HTTPMessage as Message
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie.server.live import ALL_CHARS, SESSION_CHARS, Live
from punie.server.live_items import _diff
from punie.server.live_stream import MOST_WATCHERS, LogTail, Watcher, watch
from tests.e2e.client import eventually
from tests.server.conftest import RunningServer

Json = dict[str, Any]


class Talk:
    """Messages of one client, as the server's transport shows them."""

    def __init__(self, live: Live, name: str = "one") -> None:
        self.live = live
        self.name = name
        self.last_id = 0
        live.joined(name, "websocket")

    def ask(self, method: str, **params: Any) -> int:
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": params}
        self.live.observe(self.name, message, incoming=True)
        return self.last_id

    def answer(self, request_id: int, result: Json | None = None, **members: Any) -> None:
        message = {"id": request_id, **(members or {"result": result or {}})}
        self.live.observe(self.name, message, incoming=False)

    def open(self, session_id: str, method: str = "session/new", **result: Any) -> None:
        params: Json = {} if method == "session/new" else {"sessionId": session_id}
        asked = self.ask(method, cwd="/srv/app", **params)
        self.answer(asked, {"sessionId": session_id, **result})

    def update(self, session_id: str, update_type: str, **members: Any) -> None:
        update = {"sessionUpdate": update_type, **members}
        params = {"sessionId": session_id, "update": update}
        message = {"method": "session/update", "params": params}
        self.live.observe(self.name, message, incoming=False)

    def say(self, session_id: str, text: str, message_id: str = "m1") -> None:
        content = {"type": "text", "text": text}
        self.update(session_id, "agent_message_chunk", content=content, messageId=message_id)

    def question(self, session_id: str, number: int = 77) -> None:
        params = {
            "sessionId": session_id,
            "toolCall": {"toolCallId": "c1", "title": "Edit app.py"},
            "options": [{"optionId": "allow_once", "name": "Allow", "kind": "allow_once"}],
        }
        message = {"id": number, "method": "session/request_permission", "params": params}
        self.live.observe(self.name, message, incoming=False)


@pytest.fixture
def live() -> Live:
    return Live()


def kinds(live: Live, session_id: str) -> list[tuple[str, str]]:
    return [(item.kind, item.text) for item in live.sessions[session_id].items]


def test_a_turn_is_kept_in_pieces_that_belong_together(live: Live) -> None:
    talk = Talk(live)
    talk.open("s1", configOptions=[{"id": "model", "currentValue": "qwen"}])
    prompt = talk.ask("session/prompt", sessionId="s1", prompt=[{"type": "text", "text": "Do it"}])
    assert live.sessions["s1"].state == "running"
    talk.say("s1", "One ")
    talk.say("s1", "two.")
    talk.update("s1", "tool_call", toolCallId="c1", title="Read", kind="read", status="pending")
    talk.say("s1", "Three.", "m2")
    talk.update("s1", "tool_call_update", toolCallId="c1", status="completed", title=None)
    talk.update("s1", "plan", entries=[{"content": "Look", "status": "pending"}])
    talk.update("s1", "plan", entries=[{"content": "Look", "status": "completed"}])
    talk.answer(prompt, {"stopReason": "end_turn"})
    session = live.sessions["s1"]
    assert kinds(live, "s1") == [
        ("prompt", "Do it"), ("text", "One two."), ("call", ""), ("text", "Three."), ("plan", ""),
        ("end", ""),
    ]  # fmt: skip
    call, plan = session.items[2].data, session.items[4].data
    assert (call["title"], call["status"], call["tool"]) == ("Read", "completed", "read")
    assert plan == {"steps": [{"content": "Look", "status": "completed"}]}
    assert (session.cwd, session.model, session.title) == ("/srv/app", "qwen", "Do it")
    assert session.state == "idle"


@pytest.mark.parametrize("way", ["answered", "withdrawn", "turn over", "client gone"])
def test_a_question_waits_until_it_is_settled_in_any_way(way: str, live: Live) -> None:
    talk = Talk(live)
    talk.open("s1")
    prompt = talk.ask("session/prompt", sessionId="s1", prompt=[])
    talk.question("s1")
    session = live.sessions["s1"]
    assert session.state == "waiting"
    match way:
        case "answered":
            outcome = {"outcome": {"outcome": "selected", "optionId": "allow_once"}}
            live.observe("one", {"id": 77, "result": outcome}, incoming=True)
        case "withdrawn":
            cancel = {"method": "$/cancel_request", "params": {"requestId": 77}}
            live.observe("one", cancel, incoming=False)
        case "turn over":
            talk.answer(prompt, {"stopReason": "cancelled"})
        case _:
            live.left("one")
    assert session.questions == 0
    (question,) = (item for item in session.items if item.kind == "question")
    assert question.data["answer"] == ("Allow" if way == "answered" else "withdrawn")
    assert session.state == {"turn over": "idle", "client gone": "closed"}.get(way, "running")


def test_a_session_belongs_to_the_client_that_opened_it_last(live: Live) -> None:
    first, second = Talk(live, "one"), Talk(live, "two")
    first.open("s1")
    first.say("s1", "Old.")
    second.ask("session/prompt", sessionId="s1", prompt=[{"type": "text", "text": "not yours"}])
    assert kinds(live, "s1") == [("text", "Old.")]
    load = second.ask("session/load", sessionId="s1", cwd="/srv/app")
    second.say("s1", "Replayed.")
    second.answer(load)
    assert kinds(live, "s1") == [("text", "Replayed.")]
    live.left("one")
    assert live.sessions["s1"].state == "idle"
    live.left("two")
    assert live.sessions["s1"].state == "closed"


def test_loading_again_shows_the_conversation_once(live: Live) -> None:
    talk = Talk(live)
    talk.open("s1")
    talk.say("s1", "Said.")
    load = talk.ask("session/load", sessionId="s1", cwd="/srv/app")
    talk.say("s1", "Said.")
    talk.answer(load)
    assert kinds(live, "s1") == [("text", "Said.")]
    failed = talk.ask("session/load", sessionId="no such", cwd="/srv/app")
    talk.answer(failed, error={"code": -32002, "message": "unknown"})
    assert list(live.sessions) == ["s1"]


def test_memory_is_bounded_in_every_direction(live: Live) -> None:
    talk = Talk(live)
    talk.open("s0")
    for number in range(600):
        talk.say("s0", "x" * 10_000, f"m{number}")
        talk.update("s0", "tool_call", toolCallId=f"c{number}", title="t" * 10_000)
    session = live.sessions["s0"]
    assert session.chars <= SESSION_CHARS
    assert len(session.calls) <= len(session.items)
    for number in range(90):
        talk.open(f"s{number}")
        for part in range(30):
            talk.say(f"s{number}", "y" * 9_000, f"m{part}")
    kept = sum(len(item.text) for each in live.sessions.values() for item in each.items)
    assert SESSION_CHARS < kept <= ALL_CHARS
    assert live.sessions["s89"].items
    assert not live.sessions["s0"].items
    live.left("one")
    assert len(live.sessions) == 20


def test_a_watcher_is_sent_all_and_then_what_is_new(live: Live) -> None:
    talk = Talk(live)
    talk.open("s1")
    talk.say("s1", "One ")
    watcher = Watcher(live)
    first = watcher.changes()
    assert [change["type"] for change in first] == ["connections", "session", "item"]
    assert watcher.changes() == []
    talk.say("s1", "two ")
    talk.say("s1", "three.")
    assert watcher.changes()[1:] == [
        {"type": "more", "session": "s1", "n": 1, "text": "two three."}
    ]
    talk.update("s1", "tool_call", toolCallId="c1", title="Read")
    talk.update("s1", "tool_call_update", toolCallId="c1", status="completed")
    (item,) = (change["item"] for change in watcher.changes() if change["type"] == "item")
    assert (item["title"], item["status"]) == ("Read", "completed")
    live.left("one")
    for number in range(25):
        other = Talk(live, f"c{number}")
        other.open(f"t{number}")
        live.left(other.name)
    assert {"type": "gone", "session": "s1"} in watcher.changes()


def test_of_a_long_change_the_part_around_it_is_kept() -> None:
    old = "".join(f"line {number}\n" for number in range(20_000))
    new = old.replace("line 15000\n", "another line\n")
    diff = _diff("a.py", old, new)
    assert diff["cut"]
    assert "line 15000\n" in diff["old"]
    assert "another line\n" in diff["new"]
    assert len(diff["old"]) <= 16_000
    assert _diff("a.py", "a\n", "b\n") == {"path": "a.py", "old": "a\n", "new": "b\n", "cut": False}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
NAMES = ("sessionId", "update", "options", "toolCall", "prompt", "requestId", "configOptions",
         "content", "entries", "locations", "rawInput", "toolCallId", "clientInfo", "title",
         "modes", "message", "outcome", "used", "sessionUpdate", "currentModeId")  # fmt: skip
KINDS = ("tool_call", "plan", "agent_message_chunk", "usage_update", "notice", "other")
MEMBERS = st.dictionaries(
    st.sampled_from(NAMES),
    st.just("s1") | st.sampled_from(KINDS) | JSON
    | st.fixed_dictionaries({"sessionUpdate": st.sampled_from(KINDS)}, optional={
        name: JSON for name in NAMES if name != "sessionUpdate"
    }),
)  # fmt: skip
METHODS = st.sampled_from([
    "initialize", "session/new", "session/load", "session/prompt", "session/update",
    "session/request_permission", "session/close", "session/set_mode", "$/cancel_request",
    "session/set_config_option", None,
])  # fmt: skip


@settings(max_examples=40)
@given(st.lists(st.tuples(METHODS, MEMBERS, st.integers(0, 2), st.booleans()), max_size=12))
def test_no_message_breaks_it(messages: list[tuple[str | None, Json, int, bool]]) -> None:
    live = Live()
    talk = Talk(live)
    talk.open("s1")
    watcher = Watcher(live)
    for method, members, number, incoming in messages:
        named = {"sessionId": "s1", **members}
        if method is None:
            message: Json = {"id": number, "result": members}
        else:
            message = {"id": number, "method": method, "params": named}
        live.observe("one", message, incoming=incoming)
        json.dumps(watcher.changes())
    live.left("one")
    assert all(session.questions == 0 for session in live.sessions.values())
    counted = sum(item.chars for session in live.sessions.values() for item in session.items)
    assert counted == live._chars


def test_the_log_is_read_on_from_where_it_was(tmp_path: Path) -> None:
    file = tmp_path / "punie.log"

    def write(*events: str) -> None:
        with file.open("a") as log:
            for event in events:
                fields = {"time": "2026-01-01T10:00:00+00:00", "level": "info", "event": event}
                log.write(json.dumps({**fields, "session": event, "pid": 1}) + "\n")

    tail = LogTail(file)
    assert tail.new_records() == []
    write("one", "two")
    assert [record["event"] for record in tail.new_records()] == ["one", "two"]
    assert tail.new_records() == []
    write("three")
    (record,) = tail.new_records()
    assert (record["event"], record["fields"]) == ("three", "session=three")


@pytest.mark.anyio
async def test_the_stream_says_what_changes_and_ends_with_the_server(tmp_path: Path) -> None:
    live = Live()
    talk = Talk(live)
    told: list[Json] = []

    async def read() -> None:
        async for event in watch(live, lambda: {"turns": 0}, tmp_path / "no log", pause=0.01):
            assert event.startswith(b"data: ")
            assert event.endswith(b"\n\n")
            told.extend(json.loads(event[6:]))

    def types() -> Iterator[str]:
        return (each["type"] for each in told)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            while "numbers" not in types():
                await anyio.sleep(0.01)
            assert live.watchers == 1
            talk.open("s1")
            while "session" not in types():
                await anyio.sleep(0.01)
            live.end()
    assert live.watchers == 0
    assert told[0]["type"] == "hello"


def ask(server: RunningServer, method: str, path: str, **options: Any) -> tuple[int, Message, str]:
    connection = http.client.HTTPConnection(server.host, timeout=10)
    headers = {"Authorization": f"Bearer {server.token}", **options.pop("headers", {})}
    connection.request(method, path, headers=headers, **options)
    answer = connection.getresponse()
    try:
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def test_the_page_may_load_nothing_and_be_framed_by_nobody(server: RunningServer) -> None:
    for path, kind in (("/", "html"), ("/page.js", "javascript"), ("/page.css", "css")):
        status, headers, body = ask(server, "GET", path, headers={"Authorization": ""})
        assert (status, kind in headers["content-type"]) == (200, True)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "://" not in body.replace("http://www.w3.org", "")
        assert server.token not in body


@pytest.mark.parametrize(
    ("path", "headers", "body", "status"),
    [
        ("/live", {"Authorization": ""}, None, 401),
        ("/live", {"Authorization": "Bearer wrong"}, None, 401),
        ("/live", {"Origin": "http://127.0.0.1:1"}, None, 403),
        ("/live", {"Origin": "null"}, None, 403),
        ("/live", {"Host": "evil.example"}, None, 421),
        ("/live/cancel", {}, '{"session": "s"}', 400),
        ("/live/cancel", {"Content-Type": "text/plain"}, '{"session": "s"}', 400),
        ("/live/cancel", {"Content-Type": "application/json"}, '{"session": 1}', 400),
        ("/live/cancel", {"Content-Type": "application/json"}, "[" * 9_000, 400),
        ("/live/cancel", {"Content-Type": "application/json"}, '"' + "x" * 20_000, 400),
        ("/live/cancel", {"Content-Type": "application/json"}, '{"session": "none"}', 404),
    ],
)
def test_what_is_refused_is_refused_with_a_sentence(
    path: str, headers: dict[str, str], body: str | None, status: int, server: RunningServer
) -> None:
    method = "GET" if body is None else "POST"
    answered, _, text = ask(server, method, path, headers=headers, body=body)
    assert answered == status
    assert json.loads(text)["error"].endswith(".")


def test_watchers_are_not_without_number_and_are_counted_down_again(server: RunningServer) -> None:
    head = (
        f"GET /live HTTP/1.1\r\nHost: {server.host}\r\nAuthorization: Bearer {server.token}\r\n\r\n"
    )
    name, _, port = server.host.partition(":")
    with contextlib.ExitStack() as stack:
        for _ in range(MOST_WATCHERS):
            watcher = stack.enter_context(socket.create_connection((name, int(port)), 10))
            watcher.sendall(head.encode())
            assert watcher.recv(100).startswith(b"HTTP/1.1 200")
            while b"hello" not in watcher.recv(65536):
                pass
        assert ask(server, "GET", "/live")[0] == 503

    def is_free() -> bool:
        with socket.create_connection((name, int(port)), 10) as watcher:
            watcher.sendall(head.encode())
            return watcher.recv(100).startswith(b"HTTP/1.1 200")

    assert eventually(is_free, 10)
