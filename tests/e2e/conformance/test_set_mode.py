"""`session/set_mode`: any mode at any time, in step with the option of the same name."""

import pytest

from tests.e2e.client import Refused
from tests.e2e.conformance.conftest import Stage

MODES = ["ask", "accept_edits", "plan", "auto"]
EDIT = {
    "tool": "edit_file",
    "arguments": {"path": "app.py", "edits": [{"old_text": "Hello", "new_text": "Servus"}]},
}
RUN = {"tool": "run_command", "arguments": {"command": "echo ran > ran.txt"}}


@pytest.mark.parametrize("mode", MODES[1:])
def test_each_mode_is_set_and_the_option_follows(stage: Stage, mode: str) -> None:
    session = stage.session()
    params = {"sessionId": session, "modeId": mode}
    assert stage.client.request("session/set_mode", params) == {}
    update = stage.client.wait_update(
        session, lambda update: update["sessionUpdate"] == "config_option_update"
    )
    values = {option["id"]: option["currentValue"] for option in update["configOptions"]}
    assert values["mode"] == mode
    assert "model" in values


@pytest.mark.parametrize("mode", ["", "yolo", "ASK", "auto "])
def test_modes_that_do_not_exist(stage: Stage, mode: str) -> None:
    session = stage.session()
    with pytest.raises(Refused, match="ask, accept_edits, plan, auto") as refused:
        stage.client.request("session/set_mode", {"sessionId": session, "modeId": mode})
    assert refused.value.code == -32602


def test_unknown_sessions(stage: Stage) -> None:
    with pytest.raises(Refused, match="-32002"):
        stage.client.request("session/set_mode", {"sessionId": "x", "modeId": "ask"})


@pytest.mark.parametrize(
    ("mode", "questions", "edited", "ran"),
    [
        ("ask", 2, True, True),
        ("accept_edits", 1, True, True),
        ("plan", 0, False, False),
        ("auto", 0, True, True),
    ],
)
def test_what_each_mode_means(
    stage: Stage, mode: str, questions: int, edited: bool, ran: bool
) -> None:
    project = stage.project({"calls": [EDIT]}, {"calls": [RUN]}, {"text": "Done."})
    client = stage.client
    session = client.new_session(project)
    client.request("session/set_mode", {"sessionId": session, "modeId": mode})
    assert client.prompt(session) == "end_turn"
    assert len(client.questions(session)) == questions
    assert ("Servus" in (project / "app.py").read_text()) == edited
    assert (project / "ran.txt").exists() == ran


def test_a_mode_set_in_the_middle_of_a_turn_counts(stage: Stage) -> None:
    slow = {"text": "wait " * 20, "delay": 0.05, "chunks": 20, "calls": [EDIT]}
    project = stage.project(slow, {"text": "Done."})
    client = stage.client
    session = client.new_session(project)
    request = client.begin_prompt(session)
    client.wait_update(session, lambda update: "wait" in str(update.get("content")))
    client.request("session/set_mode", {"sessionId": session, "modeId": "auto"})
    assert client.result(request) == {"stopReason": "end_turn"}
    assert "Servus" in (project / "app.py").read_text()
    assert client.questions(session) == []
