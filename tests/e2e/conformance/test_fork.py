"""`session/fork`: the history under a new id; both go on, neither sees the other."""

import pytest

from tests.e2e.client import Refused
from tests.e2e.conformance.conftest import Stage

EDIT = {
    "tool": "edit_file",
    "arguments": {"path": "app.py", "edits": [{"old_text": "Hello", "new_text": "Servus"}]},
}


def test_both_go_on_with_the_same_memory(stage: Stage) -> None:
    project = stage.project({"text": "One."}, {"text": "Two."}, {"text": "Three."})
    client = stage.client
    session = client.new_session(project)
    client.prompt(session)
    client.request("session/set_mode", {"sessionId": session, "modeId": "plan"})
    result = stage.open("session/fork", session, project)
    copy = result["sessionId"]
    assert copy != session
    assert result["modes"]["currentModeId"] == "plan"
    assert client.prompt(copy) == "end_turn"
    assert client.text(copy) == "Two."
    client.prompt(copy)
    assert client.text(copy) == "Two.Three."
    # The first did not move on with its copy.
    client.prompt(session)
    assert client.text(session) == "One.Two."
    ids = {entry["sessionId"] for entry in client.request("session/list", {})["sessions"]}
    assert {session, copy} <= ids


def test_a_copy_can_be_loaded_whole(stage: Stage) -> None:
    project = stage.project({"text": "One."}, {"text": "Two."})
    session = stage.client.new_session(project)
    stage.client.prompt(session)
    copy = stage.open("session/fork", session, project)["sessionId"]
    stage.open("session/load", copy, project)
    assert stage.client.text(copy) == "One."


def test_files_stay_as_they_are(stage: Stage) -> None:
    project = stage.project({"calls": [EDIT]}, {"text": "Changed."})
    session = stage.client.new_session(project)
    stage.client.prompt(session)
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    stage.open("session/fork", session, project)
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


def test_unknown_sessions(stage: Stage) -> None:
    with pytest.raises(Refused) as refused:
        stage.open("session/fork", "no-such-session", stage.project())
    assert refused.value.code == -32002


def test_folders_that_cannot_be_used(stage: Stage) -> None:
    session = stage.client.new_session(stage.project())
    with pytest.raises(Refused, match="-32602"):
        stage.client.request(
            "session/fork", {"sessionId": session, "cwd": "relative", "mcpServers": []}
        )
