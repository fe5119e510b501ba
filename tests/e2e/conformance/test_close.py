"""`session/close`: the work ends, the history stays."""

import pytest

from tests.e2e.client import Refused, eventually
from tests.e2e.conformance.conftest import Stage
from tests.processes import SLEEP, sleeping

SLOW = {"text": "slow " * 100, "delay": 0.1, "chunks": 100}


def close(stage: Stage, session: str) -> None:
    assert stage.client.request("session/close", {"sessionId": session}) == {}


def test_a_running_turn_ends_cancelled(stage: Stage) -> None:
    project = stage.project(SLOW, {"text": "Again."})
    client = stage.client
    session = client.new_session(project)
    request = client.begin_prompt(session)
    client.wait_update(session, lambda update: "slow" in str(update.get("content")))
    close(stage, session)
    assert client.result(request) == {"stopReason": "cancelled"}
    with pytest.raises(Refused) as refused:
        client.prompt(session)
    assert refused.value.code == -32002
    stage.open("session/load", session, project)
    assert client.prompt(session) == "end_turn"
    assert client.text(session).endswith("Again.")


def test_a_running_command_ends(stage: Stage) -> None:
    command = f"{SLEEP} & echo $! > child; wait"
    call = {"tool": "run_command", "arguments": {"command": command}}
    project = stage.project({"calls": [call]})
    client = stage.client
    session = client.new_session(project)
    client.request("session/set_mode", {"sessionId": session, "modeId": "auto"})
    request = client.begin_prompt(session)
    child = project / "child"
    assert eventually(lambda: child.exists() and bool(child.read_text().strip()), 30)
    close(stage, session)
    assert client.result(request) == {"stopReason": "cancelled"}
    assert eventually(lambda: not sleeping(), 2)
    (call_shown,) = client.calls(session).values()
    assert call_shown["status"] == "failed"


def test_the_history_stays_and_others_are_not_harmed(stage: Stage) -> None:
    project = stage.project({"text": "One."}, {"text": "Two."})
    client = stage.client
    session, other = (client.new_session(project) for _ in range(2))
    client.prompt(session)
    close(stage, session)
    for method, params in (
        ("session/prompt", {"prompt": [{"type": "text", "text": "x"}]}),
        ("session/set_mode", {"modeId": "ask"}),
        ("session/set_config_option", {"configId": "mode", "value": "ask"}),
    ):
        with pytest.raises(Refused) as refused:
            client.request(method, {"sessionId": session, **params})
        assert refused.value.code == -32002
    listed = client.request("session/list", {"cwd": str(project)})["sessions"]
    assert session in [entry["sessionId"] for entry in listed]
    assert client.prompt(other) == "end_turn"
    stage.open("session/resume", session, project)
    client.prompt(session)
    assert client.text(session) == "One.Two."


def test_a_session_that_is_not_open(stage: Stage) -> None:
    session = stage.client.new_session(stage.project())
    close(stage, session)
    with pytest.raises(Refused) as refused:
        stage.client.request("session/close", {"sessionId": "no-such-session"})
    assert refused.value.code == -32002


def test_twice(stage: Stage) -> None:
    project = stage.project()
    session = stage.client.new_session(project)
    stage.client.prompt(session)
    close(stage, session)
    with pytest.raises(Refused) as refused:
        stage.client.request("session/close", {"sessionId": session})
    assert refused.value.code == -32002
