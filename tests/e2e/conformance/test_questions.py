"""`session/request_permission`: only a yes is a yes."""

from pathlib import Path

import pytest

from tests.e2e.client import Json
from tests.e2e.conformance.conftest import Stage

EDIT = {
    "tool": "edit_file",
    "arguments": {"path": "app.py", "edits": [{"old_text": "Hello", "new_text": "Servus"}]},
}


def asked(stage: Stage, answer: Json) -> tuple[Path, str, str]:
    """Run a turn whose question gets this answer; return project, session and stop reason."""
    project = stage.project({"calls": [EDIT]}, {"text": "Going on."})
    session = stage.client.new_session(project)
    stage.client.answer = lambda request: answer
    return project, session, stage.client.prompt(session)


def test_a_cancelled_question_ends_the_turn(stage: Stage) -> None:
    project, session, reason = asked(stage, {"outcome": {"outcome": "cancelled"}})
    assert reason == "cancelled"
    assert "Hello" in (project / "app.py").read_text()
    assert "Going on" not in stage.client.text(session)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"outcome": None},
        {"outcome": {"outcome": "selected"}},
        {"outcome": {"outcome": "selected", "optionId": "made up"}},
        {"outcome": {"outcome": "novel"}},
    ],
)
def test_an_unusable_answer_is_no_permission(stage: Stage, answer: Json) -> None:
    stage.client.exchange.sound = False
    project, session, _ = asked(stage, answer)
    assert "Hello" in (project / "app.py").read_text()
    (call,) = stage.client.calls(session).values()
    assert call["status"] == "failed"


def test_an_error_is_no_permission(stage: Stage) -> None:
    project = stage.project({"calls": [EDIT]}, {"text": "Going on."})
    session = stage.client.new_session(project)
    stage.client.answer = lambda request: None
    turn = stage.client.begin_prompt(session)
    question = stage.client.wait_for(
        lambda message: (
            message.get("method") == "session/request_permission"
            and message["params"]["sessionId"] == session
        )
    )
    error = {"code": -32603, "message": "The dialog broke."}
    stage.client.send({"jsonrpc": "2.0", "id": question["id"], "error": error})
    stage.client.result(turn)
    assert "Hello" in (project / "app.py").read_text()
