"""A prompt becomes streamed text, thoughts, tool calls and a true stop reason."""

from pathlib import Path

import pytest

from tests.e2e.client import Client, Refused, deny, merged_calls, messages_of
from tests.e2e.conftest import Script, Start

READ = {"tool": "read_file", "arguments": {"path": "app.py"}}
EDIT = {
    "tool": "edit_file",
    "arguments": {"path": "app.py", "edits": [{"old_text": "Hello", "new_text": "Servus"}]},
}


def test_text_and_thoughts_stream_in_order(start: Start, script: Script, project: Path) -> None:
    client = start(
        script(
            {"thought": "Let me see.", "text": "Hello there, friend.", "delay": 0.1, "chunks": 4}
        )
    )
    client.initialize()
    session = client.new_session(project)
    request = client.begin_prompt(session)
    assert client.result(request) == {"stopReason": "end_turn"}
    (thought, answer) = (
        message for message in messages_of(client.updates(session)) if "Loading" not in message[2]
    )
    assert thought[::2] == ("agent_thought_chunk", "Let me see.")
    assert answer[::2] == ("agent_message_chunk", "Hello there, friend.")
    assert len(client.updates(session, "agent_message_chunk")) > 1
    # Nothing of the turn comes after its answer.
    last = client.messages[-1]
    assert last["id"] == request
    assert client.updates(session, "usage_update")[-1]["size"] > 0
    assert client.updates(session, "user_message_chunk") == []


def test_a_tool_call_from_pending_to_completed(start: Start, script: Script, project: Path) -> None:
    client = start(script({"text": "Reading.", "calls": [READ]}, {"text": "It greets."}))
    client.initialize()
    session = client.new_session(project)
    assert client.prompt(session) == "end_turn"
    updates = client.updates(session)
    statuses = [
        update["status"]
        for update in updates
        if update["sessionUpdate"].startswith("tool_call") and "status" in update
    ]
    assert statuses == ["pending", "in_progress", "completed"]
    begin = client.updates(session, "tool_call")[0]
    assert begin["kind"] == "read"
    assert "app.py" in begin["title"]
    assert begin["rawInput"]["path"] == "app.py"
    assert begin["locations"][0]["path"] == str(project / "app.py")
    assert client.text(session) == "Reading.It greets."


def test_a_permission_question_carries_the_whole_call(
    start: Start, script: Script, project: Path
) -> None:
    client = start(script({"calls": [EDIT]}, {"text": "Done."}))
    client.initialize()
    session = client.new_session(project)
    assert client.prompt(session) == "end_turn"
    question = client.wait_for(
        lambda message: message.get("method") == "session/request_permission"
    )["params"]
    call = question["toolCall"]
    announced = client.updates(session, "tool_call")[0]
    assert question["sessionId"] == session
    assert call["toolCallId"] == announced["toolCallId"]
    assert call["title"] == announced["title"]
    assert (call["kind"], call["status"]) == ("edit", "pending")
    assert call["rawInput"] == EDIT["arguments"]
    assert call["locations"][0]["path"] == str(project / "app.py")
    (diff,) = [block for block in call["content"] if block["type"] == "diff"]
    assert diff["path"] == str(project / "app.py")
    assert "Hello" in diff["oldText"]
    assert "Servus" in diff["newText"]
    kinds = {option["kind"] for option in question["options"]}
    assert {"allow_once", "reject_once"} <= kinds
    assert "Servus" in (project / "app.py").read_text()
    (final,) = merged_calls(client.updates(session)).values()
    assert final["status"] == "completed"
    assert any(block["type"] == "diff" for block in final["content"])


def test_deny_means_that_it_never_runs(start: Start, script: Script, project: Path) -> None:
    command = {"tool": "run_command", "arguments": {"command": "touch ran"}}
    client = start(script({"calls": [EDIT]}, {"calls": [command]}, {"text": "As you wish."}))
    client.answer = deny
    client.initialize()
    session = client.new_session(project)
    assert client.prompt(session) == "end_turn"
    assert "Hello" in (project / "app.py").read_text()
    assert not (project / "ran").exists()
    calls = merged_calls(client.updates(session))
    assert [call["status"] for call in calls.values()] == ["failed", "failed"]
    assert client.text(session) == "As you wish."


def test_a_question_that_is_cancelled_ends_the_turn(
    start: Start, script: Script, project: Path
) -> None:
    client = start(script({"calls": [EDIT]}, {"text": "Not reached."}))
    client.answer = lambda request: {"outcome": {"outcome": "cancelled"}}
    client.initialize()
    session = client.new_session(project)
    assert client.prompt(session) == "cancelled"
    assert "Hello" in (project / "app.py").read_text()
    assert "Not reached" not in client.text(session)


def test_an_unusable_answer_to_a_question_is_no_permission(
    start: Start, script: Script, project: Path
) -> None:
    client = start(script({"calls": [EDIT]}, {"text": "Go on."}, repeat=True), sound=False)
    client.initialize()
    session = client.new_session(project)
    answers: list[dict[str, object]] = [
        {},
        {"outcome": {"outcome": "selected", "optionId": "made up"}},
        {"outcome": {"outcome": "novel"}},
    ]
    for answer in answers:
        client.answer = lambda request, answer=answer: answer  # type: ignore[misc]
        client.prompt(session)
        assert "Hello" in (project / "app.py").read_text()


def test_output_of_a_command_shows_while_it_runs(
    start: Start, script: Script, project: Path
) -> None:
    command = "echo first; sleep 1.5; seq 1 4000; echo last"
    call = {"tool": "run_command", "arguments": {"command": command}}
    client = start(script({"calls": [call]}, {"text": "Done."}), environment={"PUNIE_MODE": "auto"})
    client.initialize()
    session = client.new_session(project)
    request = client.begin_prompt(session)
    client.wait_update(
        session,
        lambda update: (
            update["sessionUpdate"] == "tool_call_update"
            and "status" not in update
            and "first" in update["content"][0]["content"]["text"]
        ),
    )
    assert client.result(request)["stopReason"] == "end_turn"
    running = [
        update for update in client.updates(session, "tool_call_update") if "status" not in update
    ]
    assert all(len(update["content"][0]["content"]["text"]) <= 8000 for update in running)
    assert len(running) <= 12
    (final,) = merged_calls(client.updates(session)).values()
    assert final["status"] == "completed"
    assert "last" in str(final["content"])


def test_two_turns_and_then_the_script_is_over(start: Start, script: Script, project: Path) -> None:
    client = start(script({"text": "One."}, {"text": "Two."}))
    client.initialize()
    session = client.new_session(project)
    for _ in range(3):
        assert client.prompt(session) == "end_turn"
    assert client.text(session) == "One.Two.The script is over."


def test_one_turn_at_a_time(start: Start, script: Script, project: Path) -> None:
    client = start(script({"text": "slow " * 20, "delay": 0.2, "chunks": 20}, {"text": "next"}))
    client.initialize()
    session = client.new_session(project)
    first = client.begin_prompt(session)
    with pytest.raises(Refused, match="already running") as refused:
        client.prompt(session)
    assert refused.value.code == -32602
    client.notify("session/cancel", {"sessionId": session})
    assert client.result(first)["stopReason"] == "cancelled"
    assert client.prompt(session) == "end_turn"


def test_max_turn_requests_is_told(start: Start, script: Script, project: Path) -> None:
    calls = [
        {"calls": [{"tool": "list_dir", "arguments": {"path": name}}]}
        for name in (".", "./", "./.")
    ]
    client = start(script(*calls, repeat=True), environment={"PUNIE_MAX_REQUESTS": "3"})
    client.initialize()
    session = client.new_session(project)
    assert client.prompt(session) == "max_turn_requests"


def test_two_sessions_never_see_each_other(start: Start, script: Script, tmp_path: Path) -> None:
    edit = {
        "tool": "edit_file",
        "arguments": {"path": "a.txt", "edits": [{"old_text": "old", "new_text": "new"}]},
    }
    client = start(
        script({"text": "slowly " * 10, "delay": 0.1, "chunks": 10, "calls": [edit]}, {"text": "!"})
    )
    client.initialize()
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        (folder / "a.txt").write_text(f"old {folder.name}")
    sessions = [client.new_session(folder) for folder in folders]
    client.request("session/set_mode", {"sessionId": sessions[0], "modeId": "auto"})
    requests = [client.begin_prompt(session) for session in sessions]
    client.notify("session/cancel", {"sessionId": sessions[1]})
    assert client.result(requests[0])["stopReason"] == "end_turn"
    assert client.result(requests[1])["stopReason"] == "cancelled"
    assert (folders[0] / "a.txt").read_text() == "new one"
    assert (folders[1] / "a.txt").read_text() == "old two"
    assert client.text(sessions[0]) == "slowly " * 10 + "!"
    ids = [set(merged_calls(client.updates(session))) for session in sessions]
    assert not ids[0] & ids[1]


@pytest.fixture
def blocks(start: Start, script: Script, project: Path) -> tuple[Client, str]:
    client = start(script({"text": "ok"}, repeat=True))
    client.initialize()
    return client, client.new_session(project)


def test_blocks_that_are_taken(blocks: tuple[Client, str], project: Path) -> None:
    client, session = blocks
    uri = (project / "app.py").as_uri()
    prompt = [
        {"type": "text", "text": "Explain"},
        {"type": "resource_link", "uri": uri, "name": "app.py"},
        {"type": "resource", "resource": {"uri": uri + "#L1-2", "text": "def greet(name):"}},
    ]
    result = client.request("session/prompt", {"sessionId": session, "prompt": prompt})
    assert result == {"stopReason": "end_turn"}


def test_blocks_that_are_refused(blocks: tuple[Client, str]) -> None:
    client, session = blocks
    blob = {"uri": "file:///a.bin", "blob": "AAAA"}
    refused = [
        [{"type": "image", "mimeType": "image/png", "data": "AAAA"}],
        [{"type": "audio", "mimeType": "audio/wav", "data": "AAAA"}],
        [{"type": "resource", "resource": blob}],
        [{"type": "text", "text": "  \n"}],
        [],
    ]
    for prompt in refused:
        with pytest.raises(Refused, match="-32602"):
            client.request("session/prompt", {"sessionId": session, "prompt": prompt})
    assert client.prompt(session) == "end_turn"
