"""`session/resume`: as load, with nothing shown."""

import pytest

from tests.e2e.client import Refused
from tests.e2e.conformance.conftest import Stage, stage_environment
from tests.e2e.conftest import Start

CONVERSATION = {
    "user_message_chunk", "agent_message_chunk", "agent_thought_chunk", "tool_call", "plan",
}  # fmt: skip


def test_the_memory_is_intact_and_nothing_is_shown(start: Start, stage: Stage) -> None:
    project = stage.project({"text": "First."}, {"text": "Second."})
    session = stage.client.new_session(project)
    stage.client.prompt(session)
    stage.client.request("session/set_mode", {"sessionId": session, "modeId": "plan"})

    client = start(environment=stage_environment(stage.folder))
    client.initialize()
    params = {"sessionId": session, "cwd": str(project)}
    result = client.request("session/resume", params)
    assert result["modes"]["currentModeId"] == "plan"
    assert result["configOptions"][0]["currentValue"] == "plan"
    client.initialize()
    kinds = {update["sessionUpdate"] for update in client.updates(session)}
    assert not kinds & CONVERSATION
    assert client.prompt(session) == "end_turn"
    assert client.text(session) == "Second."


def test_an_open_session_goes_on(stage: Stage) -> None:
    project = stage.project({"text": "First."}, {"text": "Second."})
    session = stage.client.new_session(project)
    stage.client.prompt(session)
    stage.open("session/resume", session, project)
    assert stage.client.text(session) == "First."
    stage.client.prompt(session)
    assert stage.client.text(session) == "First.Second."


def test_unknown_sessions(stage: Stage) -> None:
    with pytest.raises(Refused) as refused:
        stage.open("session/resume", "no-such-session", stage.project())
    assert refused.value.code == -32002


def test_folders_that_cannot_be_used(stage: Stage) -> None:
    session = stage.client.new_session(stage.project())
    for cwd in ("relative", "/no/such/folder"):
        with pytest.raises(Refused, match="-32602"):
            stage.client.request("session/resume", {"sessionId": session, "cwd": cwd})
