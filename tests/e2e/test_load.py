"""A session that is loaded again shows all of it, and the model remembers."""

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import Client, Refused, merged_calls, messages_of
from tests.e2e.conftest import Script, Start

READ = {"tool": "read_file", "arguments": {"path": "app.py"}}
EDIT = {
    "tool": "edit_file",
    "arguments": {"path": "app.py", "edits": [{"old_text": "Hello", "new_text": "Servus"}]},
}


def load(client: Client, session: str, cwd: Path) -> Any:
    return client.request("session/load", {"sessionId": session, "cwd": str(cwd), "mcpServers": []})


def shown(client: Client, session: str) -> tuple[Any, ...]:
    """What an IDE shows of a session."""
    updates = client.updates(session)
    messages = [
        message
        for message in messages_of(updates)
        if message[0] != "user_message_chunk" and not message[2].startswith("Loading the model")
    ]
    calls = [
        {
            key: call.get(key)
            for key in ("toolCallId", "title", "kind", "status", "locations", "content", "rawInput")
        }
        for call in merged_calls(updates).values()
    ]
    usage = [update for update in updates if update["sessionUpdate"] == "usage_update"][-1:]
    return messages, calls, usage


def test_everything_comes_back_after_a_restart(start: Start, script: Script, project: Path) -> None:
    model = script(
        {"thought": "Look first.", "text": "Reading.", "calls": [READ]},
        {"text": "Changing.", "calls": [EDIT]},
        {"text": "Done."},
        {"text": "I go on."},
    )
    first = start(model)
    first.initialize()
    session = first.new_session(project)
    link = {"type": "resource_link", "uri": (project / "app.py").as_uri(), "name": "app.py"}
    note = {"type": "resource", "resource": {"uri": "file:///note.txt", "text": "remember"}}
    prompt = [{"type": "text", "text": "Say Servus"}, link, note]
    first.request("session/prompt", {"sessionId": session, "prompt": prompt})
    first.request("session/set_mode", {"sessionId": session, "modeId": "accept_edits"})
    before = shown(first, session)
    first.kill()

    second = start(model)
    second.initialize()
    result = load(second, session, project)
    # The replay comes before the answer.
    assert "result" in second.messages[-1]
    assert result["modes"]["currentModeId"] == "accept_edits"
    assert result["configOptions"][0]["currentValue"] == "accept_edits"
    assert shown(second, session) == before
    user = [update["content"] for update in second.updates(session, "user_message_chunk")]
    assert user == prompt
    order = [update["sessionUpdate"] for update in second.updates(session)]
    assert order == [
        *["user_message_chunk"] * 3,
        "agent_thought_chunk",
        *([] if order[4] != "agent_thought_chunk" else ["agent_thought_chunk"]),
        "agent_message_chunk",
        "tool_call",
        "agent_message_chunk",
        "tool_call",
        "agent_message_chunk",
        "usage_update",
    ]
    # The script's next response is the fourth only if the model sees the three before it.
    assert second.prompt(session) == "end_turn"
    assert second.text(session).endswith("I go on.")


def test_loading_an_open_session_shows_it_again(
    start: Start, script: Script, project: Path
) -> None:
    client = start(script({"text": "Once."}, {"text": "Twice."}))
    client.initialize()
    session = client.new_session(project)
    load(client, session, project)
    client.prompt(session)
    load(client, session, project)
    assert client.text(session) == "Once.Once."
    client.prompt(session)
    assert client.text(session) == "Once.Once.Twice."


def test_a_turn_that_was_cancelled_is_part_of_the_history(
    start: Start, script: Script, project: Path
) -> None:
    model = script({"text": "slow " * 50, "delay": 0.1, "chunks": 50}, {"text": "Second."})
    client = start(model)
    client.initialize()
    session = client.new_session(project)
    request = client.begin_prompt(session)
    client.wait_update(session, lambda update: "slow" in str(update.get("content", "")))
    client.notify("session/cancel", {"sessionId": session})
    client.result(request)
    before = shown(client, session)
    client.kill()
    client = start(model)
    client.initialize()
    load(client, session, project)
    assert shown(client, session) == before
    client.prompt(session)
    assert client.text(session).endswith("Second.")


def test_sessions_that_cannot_be_loaded(start: Start, script: Script, project: Path) -> None:
    client = start(script({"text": "Hi."}))
    client.initialize()
    session = client.new_session(project)
    for unknown in ("no-such-session", "", session + "x", "'; drop table sessions; --"):
        with pytest.raises(Refused, match="There is no session") as refused:
            load(client, unknown, project)
        assert refused.value.code == -32002
    with pytest.raises(Refused, match="-32602"):
        client.request("session/load", {"sessionId": session, "cwd": "rel", "mcpServers": []})
