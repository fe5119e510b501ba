"""Newer kinds of updates and requests: only where the client offers them, else another way."""

from typing import Any

from tests.e2e.client import Client, Json, allow
from tests.e2e.conformance.conftest import Stage, stage_environment
from tests.e2e.conftest import Start
from tests.texts import numbers

CIRCLE = {"tool": "list_dir", "arguments": {"path": "."}}


def opened(start: Start, stage: Stage, **capabilities: Any) -> Client:
    client = start(environment=stage_environment(stage.folder))
    client.initialize(clientCapabilities=capabilities)
    return client


def kinds(client: Client, session: str) -> set[str]:
    return {update["sessionUpdate"] for update in client.updates(session)}


def test_notices(start: Start, stage: Stage) -> None:
    project = stage.project({"calls": [CIRCLE]}, repeat=True)
    unoffered: list[Json] = [{}, {"session": {}}, {"session": {"notices": None}}]
    for capabilities in unoffered:
        client = opened(start, stage, **capabilities)
        session = client.new_session(project)
        client.prompt(session)
        assert "notice" not in kinds(client, session)
        assert "same" in client.text(session)
    client = opened(start, stage, session={"notices": {}})
    session = client.new_session(project)
    client.prompt(session)
    errors = [
        update for update in client.updates(session, "notice") if update["severity"] == "error"
    ]
    assert len(errors) == 1
    assert "same" in errors[0]["title"]
    assert "same" not in client.text(session)
    # They are of the moment and not shown again.
    seen = len(client.updates(session, "notice"))
    client.request("session/load", {"sessionId": session, "cwd": str(project), "mcpServers": []})
    assert len(client.updates(session, "notice")) == seen


def test_compaction(start: Start, stage: Stage) -> None:
    # Each answer takes about a third of the script's window of 32,768 tokens.
    long = {"text": numbers(45_000), "chunks": 1}
    offers: list[tuple[Json, bool]] = [({}, False), ({"session": {"compaction": {}}}, True)]
    for capability, expected in offers:
        client = opened(start, stage, **capability)
        session = client.new_session(stage.project(long, repeat=True))
        for _ in range(5):
            assert client.prompt(session) == "end_turn"
        assert ("compaction_update" in kinds(client, session)) == expected
        told = [
            chunk["content"]["text"] for chunk in client.updates(session, "agent_thought_chunk")
        ]
        assert any("left the model" in text for text in told) == (not expected)
        for update in client.updates(session, "compaction_update"):
            assert update["status"] in ("in_progress", "completed", "failed", "cancelled")


def test_elicitation(start: Start, stage: Stage) -> None:
    ask = {
        "tool": "ask_user",
        "arguments": {"question": "Which colour?", "choices": ["red", "blue"]},
    }
    script: list[Json] = [{"calls": [ask]}, {"text": "Thanks."}]
    unoffered: list[Json] = [{}, {"elicitation": {}}, {"elicitation": {"url": {}}}]
    for capability in unoffered:
        client = opened(start, stage, **capability)
        session = client.new_session(stage.project(*script))
        assert client.prompt(session) == "end_turn"
        methods = {message.get("method") for message in client.messages}
        assert "elicitation/create" not in methods
        # A permission question can carry a few answers; the first is taken here.
        assert len(client.questions(session)) == 1
        (call,) = client.calls(session).values()
        assert "red" in str(call["content"][1:])
    client = opened(start, stage, elicitation={"form": {}})
    client.answer = answer_blue
    session = client.new_session(stage.project(*script))
    assert client.prompt(session) == "end_turn"
    (call,) = client.calls(session).values()
    assert call["status"] == "completed"
    assert "blue" in str(call["content"][1:])
    assert client.questions(session) == []


def answer_blue(request: Json) -> Json | None:
    if request["method"] != "elicitation/create":
        return allow(request)
    fields = request["params"]["requestedSchema"]["properties"]
    (choice,) = [name for name, field in fields.items() if field.get("enum") == ["red", "blue"]]
    return {"action": "accept", "content": {choice: "blue"}}
