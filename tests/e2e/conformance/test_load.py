"""`session/load`: the whole conversation again, exactly as it was shown."""

from pathlib import Path

import pytest

from tests.e2e.client import Client, Json, Refused, deny, merged_calls, messages_of
from tests.e2e.conformance.conftest import Stage, stage_environment
from tests.e2e.conftest import Start

SHOWN_OF_A_CALL = ("toolCallId", "title", "name", "kind", "status", "locations", "content")
READ = {"tool": "read_file", "arguments": {"path": "app.py"}}
MISSING = {"tool": "read_file", "arguments": {"path": "missing.py"}}
EDIT = {
    "tool": "edit_file",
    "arguments": {"path": "app.py", "edits": [{"old_text": "Hello", "new_text": "Servus"}]},
}
RUN = {"tool": "run_command", "arguments": {"command": "echo out; exit 3"}}
PLAN = {
    "tool": "update_plan",
    "arguments": {
        "steps": [
            {"content": "Look", "status": "completed"},
            {"content": "Change", "status": "in_progress"},
        ]
    },
}


def shown(updates: list[Json]) -> Json:
    """What an IDE shows at the end of these updates, the user's own words left out."""
    last = {update["sessionUpdate"]: update for update in updates}
    return {
        "messages": [
            message
            for message in messages_of(updates)
            if message[0] != "user_message_chunk" and "Loading the model" not in message[2]
        ],
        "calls": [
            {key: call.get(key) for key in SHOWN_OF_A_CALL}
            for call in merged_calls(updates).values()
        ],
        "plan": last.get("plan"),
        "usage": last.get("usage_update"),
        "title": last.get("session_info_update"),
    }


def load(client: Client, session: str, project: Path) -> tuple[Json, list[Json]]:
    """Load a session; return the answer and the updates that came before it."""
    before = len(client.updates(session))
    params = {"sessionId": session, "cwd": str(project), "mcpServers": []}
    request = client.call("session/load", params)
    result = client.result(request)
    at = next(n for n, message in enumerate(client.messages) if message.get("id") == request)
    with_method = [m for m in client.messages[:at] if m.get("method") == "session/update"]
    updates = [m["params"]["update"] for m in with_method if m["params"]["sessionId"] == session]
    return result, updates[before:]


def test_everything_comes_back_in_another_process(start: Start, stage: Stage) -> None:
    project = stage.project(
        {"thought": "Look first.", "text": "Reading.", "calls": [READ, MISSING]},
        {"text": "Planning.", "calls": [PLAN]},
        {"thought": "Now.", "text": "Changing.", "calls": [EDIT]},
        {"text": "Running.", "calls": [RUN]},
        {"text": "Done."},
        {"text": "I remember."},
    )
    client = stage.client
    session = client.new_session(project)
    prompt = [
        {"type": "text", "text": "Say Servus"},
        {"type": "resource_link", "uri": (project / "app.py").as_uri(), "name": "app.py"},
        {"type": "resource", "resource": {"uri": "file:///n.txt", "text": "remember"}},
    ]
    client.request("session/prompt", {"sessionId": session, "prompt": prompt})
    client.request("session/set_mode", {"sessionId": session, "modeId": "plan"})
    before = shown(client.updates(session))
    assert [call["status"] for call in before["calls"]].count("failed") >= 1
    assert before["title"] is not None
    assert before["plan"] is not None

    second = start(environment=stage_environment(stage.folder))
    second.initialize()
    result, updates = load(second, session, project)
    assert shown(updates) == before
    assert result["modes"]["currentModeId"] == "plan"
    assert [update["content"] for update in updates if is_user(update)] == prompt
    # The user's words come first.
    assert [is_user(update) for update in updates[:4]] == [True, True, True, False]
    # The next response of the script is the sixth only if the model saw the five before it.
    assert second.prompt(session) == "end_turn"
    assert second.text(session).endswith("I remember.")


def test_ids_are_the_same_each_time(stage: Stage) -> None:
    project = stage.project({"thought": "Hm.", "text": "One.", "calls": [READ]}, {"text": "Two."})
    session = stage.client.new_session(project)
    stage.client.prompt(session)
    first, second = (load(stage.client, session, project)[1] for _ in range(2))
    assert replayed(first) == replayed(second)
    assert len({update["messageId"] for update in first if is_user(update)}) == 1


def test_an_open_session_goes_on(stage: Stage) -> None:
    project = stage.project({"text": "One."}, {"text": "Two."})
    session = stage.client.new_session(project)
    load(stage.client, session, project)
    stage.client.prompt(session)
    load(stage.client, session, project)
    assert stage.client.text(session) == "One.One."
    stage.client.prompt(session)
    assert stage.client.text(session) == "One.One.Two."


def test_a_denied_call_and_a_cancelled_turn_come_back_as_they_ended(stage: Stage) -> None:
    slow = {"text": "slow " * 40, "delay": 0.05, "chunks": 40}
    project = stage.project({"calls": [EDIT]}, {"text": "Then not."}, slow)
    client = stage.client
    session = client.new_session(project)
    client.answer = deny
    client.prompt(session)
    request = client.begin_prompt(session)
    client.wait_update(session, lambda update: "slow" in str(update.get("content")))
    client.notify("session/cancel", {"sessionId": session})
    assert client.result(request)["stopReason"] == "cancelled"
    before = shown(client.updates(session))
    (denied,) = before["calls"]
    assert denied["status"] == "failed"
    assert shown(load(client, session, project)[1]) == before


def test_a_session_without_prompts_shows_nothing(stage: Stage) -> None:
    project = stage.project()
    session = stage.client.new_session(project)
    _, updates = load(stage.client, session, project)
    assert replayed(updates) == []


@pytest.mark.parametrize("unknown", ["", "no-such-session", "../../etc/passwd", "' or 1=1 --"])
def test_unknown_sessions(stage: Stage, unknown: str) -> None:
    with pytest.raises(Refused, match="There is no session") as refused:
        load(stage.client, unknown, stage.project())
    assert refused.value.code == -32002


def test_folders_that_cannot_be_used(stage: Stage) -> None:
    session = stage.client.new_session(stage.project())
    for cwd in (Path("relative"), Path("/no/such/folder")):
        with pytest.raises(Refused) as refused:
            load(stage.client, session, cwd)
        assert refused.value.code == -32602


def is_user(update: Json) -> bool:
    return bool(update["sessionUpdate"] == "user_message_chunk")


def replayed(updates: list[Json]) -> list[Json]:
    """Leave out what tells of the present, such as the commands there are."""
    return [update for update in updates if update["sessionUpdate"] != "available_commands_update"]
