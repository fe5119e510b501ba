"""What the bridge remembers of a conversation, and what it makes of a lost connection."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.client.ledger import REQUEST_LOST, TURN_LOST, Ledger
from punie.wire.messages import WireError

Json = dict[str, Any]


def line(**members: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **members}, separators=(",", ":")).encode()


def request(request_id: Any, method: str, **params: Any) -> bytes:
    return line(id=request_id, method=method, params=params)


def result(request_id: Any, value: Any) -> bytes:
    return line(id=request_id, result=value)


def update(session: str, **members: Any) -> bytes:
    return line(method="session/update", params={"sessionId": session, "update": members})


def decoded(lines: list[bytes]) -> list[Json]:
    return [json.loads(each) for each in lines]


def shaken(**capabilities: Any) -> Ledger:
    """Return a ledger after the handshake of a client."""
    ledger = Ledger()
    ledger.from_client(request(0, "initialize", protocolVersion=1, clientCapabilities=capabilities))
    ledger.from_server(result(0, {"protocolVersion": 1}))
    return ledger


def opened(ledger: Ledger, session: str, **params: Any) -> None:
    params = {"cwd": "/p", "mcpServers": [], **params}
    ledger.from_client(request(1, "session/new", **params))
    ledger.from_server(result(1, {"sessionId": session}))


def reconnected(ledger: Ledger) -> list[Json]:
    """Play a server that takes everything; return what it was asked."""
    asked = []
    handshake = ledger.replay_handshake()
    if handshake is not None:
        asked.append(json.loads(handshake))
        assert ledger.from_server(result(asked[0]["id"], {})) is None
    for each in decoded(ledger.replay_sessions()):
        asked.append(each)
        assert ledger.from_server(result(each["id"], {})) is None
    assert not ledger.is_replaying
    return asked


@pytest.mark.parametrize(
    "sent",
    [
        b'{ "jsonrpc":"2.0", "id": 7, "method":"x", "params":{"t":"\xc3\xa4 \\u00e4"} }\r',
        b'\xef\xbb\xbf{"jsonrpc":"2.0","method":"session/cancel","params":{"sessionId":"s"}}',
    ],
)
def test_lines_go_on_byte_for_byte(sent: bytes) -> None:
    assert Ledger().from_client(sent) == sent


def test_what_the_server_says_goes_on_byte_for_byte() -> None:
    ledger = Ledger()
    for sent in (
        request(0, "session/request_permission", sessionId="s", title="ä"),
        update("s", sessionUpdate="tool_call", toolCallId="c", status="pending"),
        line(method="$/cancel_request", params={"requestId": 0}),
        result(5, {"x": 1.0}),
    ):
        assert ledger.from_server(sent) == sent


def test_what_is_no_message_is_refused_as_in_process() -> None:
    for sent, sentence in ((b"\xff", "The line is not UTF-8."), (b"{", "not valid JSON")):
        with pytest.raises(WireError, match=sentence):
            Ledger().from_client(sent)


def test_answers_to_nothing_are_dropped() -> None:
    ledger = Ledger()
    assert ledger.from_client(result(3, {})) is None
    assert ledger.from_client(result("a", {})) is None


def test_a_lost_turn_is_told_in_the_chat_and_ends_as_cancelled() -> None:
    ledger = shaken()
    opened(ledger, "s")
    ledger.from_client(request("p", "session/prompt", sessionId="s", prompt=[]))
    for name, status in (("done", "completed"), ("open", "in_progress")):
        ledger.from_server(
            update("s", sessionUpdate="tool_call", toolCallId=name, status="pending")
        )
        ledger.from_server(
            update("s", sessionUpdate="tool_call_update", toolCallId=name, status=status)
        )
    call, told, answer = decoded(ledger.lost())
    assert call["params"]["update"] == {
        "sessionUpdate": "tool_call_update",
        "toolCallId": "open",
        "status": "failed",
    }
    assert told["params"]["update"]["content"] == {"type": "text", "text": TURN_LOST}
    assert answer == {"jsonrpc": "2.0", "id": "p", "result": {"stopReason": "cancelled"}}
    assert not ledger.has_open_requests


def test_a_client_with_notices_gets_one() -> None:
    ledger = shaken(session={"notices": {}})
    opened(ledger, "s")
    ledger.from_client(request(2, "session/prompt", sessionId="s", prompt=[]))
    told, _ = decoded(ledger.lost())
    assert told["params"] == {
        "sessionId": "s",
        "update": {"sessionUpdate": "notice", "severity": "error", "title": TURN_LOST},
    }


def test_other_open_requests_are_refused_with_a_sentence() -> None:
    ledger = shaken()
    ledger.from_client(request(2, "session/list"))
    (answer,) = decoded(ledger.lost())
    assert answer["error"] == {"code": -32603, "message": REQUEST_LOST}


def test_a_handshake_that_was_open_is_answered_by_the_next_server() -> None:
    ledger = Ledger()
    sent = request("i", "initialize", protocolVersion=1)
    ledger.from_client(sent)
    assert ledger.lost() == []
    assert ledger.replay_handshake() == sent
    answer = result("i", {"protocolVersion": 1})
    assert ledger.from_server(answer) == answer
    assert not ledger.has_open_requests


def test_a_new_server_is_told_the_handshake_and_the_sessions_as_they_were_opened() -> None:
    ledger = shaken(fs={"readTextFile": True})
    servers = [{"name": "m", "command": "x", "args": [], "env": []}]
    opened(ledger, "a", additionalDirectories=["/q"], mcpServers=servers)
    ledger.from_client(request(2, "session/load", sessionId="b", cwd="/b", mcpServers=[]))
    ledger.from_server(result(2, {}))
    ledger.from_client(request(3, "session/fork", sessionId="b", cwd="/c", mcpServers=[]))
    ledger.from_server(result(3, {"sessionId": "c"}))
    ledger.from_client(request(4, "session/load", sessionId="bad", cwd="/b", mcpServers=[]))
    ledger.from_server(line(id=4, error={"code": -32002, "message": "There is no session bad."}))
    ledger.from_client(request(5, "session/close", sessionId="b"))
    ledger.from_server(result(5, {}))
    assert ledger.lost() == []
    handshake, *sessions = reconnected(ledger)
    assert handshake["params"] == {
        "protocolVersion": 1,
        "clientCapabilities": {"fs": {"readTextFile": True}},
    }
    assert [each["method"] for each in sessions] == ["session/resume"] * 2
    assert [each["params"] for each in sessions] == [
        {"cwd": "/p", "mcpServers": servers, "additionalDirectories": ["/q"], "sessionId": "a"},
        {"cwd": "/c", "mcpServers": [], "sessionId": "c"},
    ]


def test_a_session_that_cannot_be_opened_again_is_let_go() -> None:
    ledger = shaken()
    opened(ledger, "s")
    ledger.lost()
    ledger.replay_handshake()
    (again,) = decoded(ledger.replay_sessions())
    ledger.from_server(line(id=again["id"], error={"code": -32002, "message": "no"}))
    assert not ledger.sessions


def test_questions_are_withdrawn_and_their_late_answers_dropped() -> None:
    ledger = shaken()
    ledger.from_server(request(0, "session/request_permission"))
    ledger.from_server(request(1, "fs/read_text_file"))
    ledger.from_client(result(1, {"content": ""}))
    assert decoded(ledger.lost()) == [
        {"jsonrpc": "2.0", "method": "$/cancel_request", "params": {"requestId": 0}}
    ]
    reconnected(ledger)
    again = json.loads(ledger.from_server(request(0, "session/request_permission")) or b"")
    assert again["id"] == 2
    # The late answer to the old question must not answer the new one.
    assert ledger.from_client(result(0, {"outcome": {"outcome": "cancelled"}})) is None
    answer = json.loads(ledger.from_client(result(2, {"outcome": {}})) or b"")
    assert answer == {"jsonrpc": "2.0", "id": 0, "result": {"outcome": {}}}
    ledger.from_server(request(1, "session/request_permission"))
    withdrawn = ledger.from_server(line(method="$/cancel_request", params={"requestId": 1}))
    assert json.loads(withdrawn or b"")["params"] == {"requestId": 3}


def test_a_second_request_of_the_same_id_leaves_the_first_open() -> None:
    ledger = shaken()
    opened(ledger, "s")
    ledger.from_client(request(2, "session/prompt", sessionId="s", prompt=[]))
    ledger.from_client(request(2, "session/list"))
    ledger.from_server(line(id=2, error={"code": -32600, "message": "still open"}))
    assert [json.loads(each)["params"] for each in ledger.cancels()] == [{"sessionId": "s"}]
    ledger.from_server(result(2, {"stopReason": "cancelled"}))
    assert not ledger.has_open_requests


steps = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 3)),
        st.tuples(st.just("answer"), st.integers(0, 3)),
        st.tuples(st.just("question"), st.just(0)),
        st.tuples(st.just("reply"), st.integers(0, 8)),
        st.tuples(st.just("lost"), st.just(0)),
    ),
    max_size=40,
)


@given(steps)
def test_every_request_is_answered_once_and_no_answer_reaches_another_question(
    taken: list[tuple[str, int]],
) -> None:
    ledger = shaken()
    asked: dict[int, int] = {}
    answered: dict[int, int] = {}
    connection = 0
    counter = 0
    shown: dict[int, tuple[int, int]] = {}
    for step, number in taken:
        if step == "ask" and asked.get(number, 0) == answered.get(number, 0):
            asked[number] = asked.get(number, 0) + 1
            ledger.from_client(request(number, "session/list"))
        elif step == "answer" and asked.get(number, 0) > answered.get(number, 0):
            answered[number] = answered.get(number, 0) + 1
            assert ledger.from_server(result(number, {})) is not None
        elif step == "question":
            seen = json.loads(ledger.from_server(request(counter, "q")) or b"")["id"]
            assert seen not in shown
            shown[seen] = (connection, counter)
            counter += 1
        elif step == "reply":
            passed = ledger.from_client(result(number, {}))
            origin = shown.get(number)
            if passed is not None:
                assert origin == (connection, json.loads(passed)["id"])
                shown[number] = (-1, -1)
            else:
                assert origin is None or origin[0] != connection
        elif step == "lost":
            for each in decoded(ledger.lost()):
                if "method" not in each:
                    answered[each["id"]] = answered.get(each["id"], 0) + 1
            connection, counter = connection + 1, 0
            reconnected(ledger)
    for each in decoded(ledger.lost()):
        if "method" not in each:
            answered[each["id"]] = answered.get(each["id"], 0) + 1
    assert answered == asked
