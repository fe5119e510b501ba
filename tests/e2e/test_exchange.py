"""What checks the messages of all other tests finds what is wrong with them."""

from typing import Any

import pytest

from tests.e2e import schema
from tests.e2e.exchange import Exchange, Json

pytestmark = pytest.mark.skipif(not schema.AVAILABLE, reason=schema.MISSING)

SESSION = "s"


@pytest.fixture
def exchange() -> Exchange:
    """A conversation in which a session was opened soundly."""
    exchange = Exchange()
    initialize(exchange)
    ask(exchange, 2, "session/new", {"cwd": "/p", "mcpServers": []})
    answer(exchange, 2, {"sessionId": SESSION})
    assert exchange.faults() == []
    return exchange


def initialize(exchange: Exchange, **capabilities: Any) -> None:
    ask(exchange, 1, "initialize", {"protocolVersion": 1, "clientCapabilities": capabilities})
    answer(exchange, 1, {"protocolVersion": 1})


def ask(exchange: Exchange, number: int, method: str, params: Json) -> None:
    message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    exchange.add("client", message)


def answer(exchange: Exchange, number: int, result: Json) -> None:
    exchange.add("agent", {"jsonrpc": "2.0", "id": number, "result": result})


def update(exchange: Exchange, session: str = SESSION, **content: Any) -> None:
    params = {"sessionId": session, "update": content}
    exchange.add("agent", {"jsonrpc": "2.0", "method": "session/update", "params": params})


def test_the_schema_is_the_newest_and_knows_what_punie_speaks() -> None:
    assert {"notice", "compaction_update", "session_info_update"} <= set(schema.update_kinds())
    assert ("session/delete", "Request") in schema.methods()
    assert ("session/fork", "Request") not in schema.methods()
    assert ("session/fork", "Request") in schema.methods(unstable=True)


@pytest.mark.parametrize(
    "content",
    [
        {"sessionUpdate": "novel"},
        {"sessionUpdate": "plan_update"},
        {"sessionUpdate": "agent_message_chunk"},
        {"sessionUpdate": "agent_message_chunk", "content": {"type": "text"}},
        {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": ""}, "x": 1},
        {"sessionUpdate": "tool_call", "toolCallId": "1", "title": "x", "kind": "write"},
        {"sessionUpdate": "tool_call", "toolCallId": "1", "title": "x", "status": "done"},
        {"sessionUpdate": "tool_call", "toolCallId": "1", "title": "x", "locations": [{"l": 1}]},
        {"sessionUpdate": "tool_call_update", "toolCallId": "never announced"},
        {"sessionUpdate": "usage_update", "used": -1, "size": 5},
        {"sessionUpdate": "current_mode_update", "modeId": "ask"},
        {"sessionUpdate": "notice", "severity": "info", "title": "not offered"},
    ],
)
def test_updates_that_are_wrong(exchange: Exchange, content: Json) -> None:
    update(exchange, **content)
    assert len(exchange.faults()) >= 1
    assert exchange.faults() == []


def test_an_update_may_not_come_before_its_session(exchange: Exchange) -> None:
    text = {"type": "text", "text": "early"}
    update(exchange, "another", sessionUpdate="agent_message_chunk", content=text)
    assert "does not know" in exchange.faults()[0]


def test_a_notice_is_for_clients_that_offer_it(exchange: Exchange) -> None:
    initialize(exchange, session={"notices": {}})
    update(exchange, sessionUpdate="notice", severity="info", title="offered")
    assert exchange.faults() == []


def test_requests_are_for_clients_that_offer_them(exchange: Exchange) -> None:
    params = {"sessionId": SESSION, "path": "/p/a.py"}
    read = {"jsonrpc": "2.0", "id": 0, "method": "fs/read_text_file", "params": params}
    exchange.add("agent", read)
    assert "fs.readTextFile" in exchange.faults()[0]
    initialize(exchange, fs={"readTextFile": True})
    exchange.add("agent", read)
    assert exchange.faults() == []


def test_calls_end_before_their_prompt_and_only_once(exchange: Exchange) -> None:
    ask(exchange, 3, "session/prompt", {"sessionId": SESSION, "prompt": []})
    update(exchange, sessionUpdate="tool_call", toolCallId="1", title="Read", status="pending")
    answer(exchange, 3, {"stopReason": "end_turn"})
    assert "calls are open" in exchange.faults()[0]
    for _ in range(2):
        update(exchange, sessionUpdate="tool_call_update", toolCallId="1", status="completed")
    assert "had ended" in exchange.faults()[0]


def test_what_a_client_says_is_checked_unless_it_is_refused(exchange: Exchange) -> None:
    ask(exchange, 3, "session/list", {"cwd": 3})
    answer(exchange, 3, {"sessions": []})
    assert "client is wrong" in exchange.faults()[0]
    ask(exchange, 4, "session/list", {"cwd": 3})
    error = {"code": -32602, "message": "The directory must be text."}
    exchange.add("agent", {"jsonrpc": "2.0", "id": 4, "error": error})
    assert exchange.faults() == []


@pytest.mark.parametrize(
    "error",
    [
        {"code": "x", "message": "One sentence."},
        {"code": -32602, "message": "No full stop"},
        {"code": -32602, "message": "Two\nlines."},
        {"code": -32602, "message": "With data.", "data": {}},
    ],
)
def test_errors_are_one_sentence(exchange: Exchange, error: Json) -> None:
    exchange.add("agent", {"jsonrpc": "2.0", "id": None, "error": error})
    assert exchange.faults()
