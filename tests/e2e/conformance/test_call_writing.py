"""Calls while the model writes them: seen early, announced once, never left open, never stored."""

import json
import sqlite3
from contextlib import closing

import pytest

from punie.models.catalog import bundled_directory
from tests.e2e.client import Json
from tests.e2e.conformance.conftest import Stage

CONTENT = "".join(f"line_{number} = 0\n" for number in range(400))
SLOW_WRITE = {
    "text": "I write it.",
    "chunks": 1,
    "calls": [{"tool": "write_file", "arguments": {"path": "new.py", "content": CONTENT}}],
    "argument_chunks": 20,
    "delay": 0.1,
}


def is_growing(update: Json) -> bool:
    return bool(update.get("rawInput", {}).get("content")) and "locations" not in update


def stored_kinds(stage: Stage, session: str) -> list[str]:
    with closing(sqlite3.connect(stage.folder / "state" / "sessions.sqlite3")) as db:
        rows = db.execute("SELECT kind FROM events WHERE session_id = ?", (session,)).fetchall()
    return [kind for (kind,) in rows]


def test_a_call_is_seen_while_it_is_written(stage: Stage) -> None:
    project = stage.project(SLOW_WRITE, {"text": "Done."})
    client = stage.client
    session = client.new_session(project)
    request = client.begin_prompt(session)
    client.wait_update(session, is_growing)
    # The rest of the arguments is still to come.
    assert not (project / "new.py").exists()
    assert client.questions(session) == []
    assert client.result(request) == {"stopReason": "end_turn"}
    (announced,) = client.updates(session, "tool_call")
    assert announced["name"] == "write_file"
    assert announced["title"] == "write_file"
    assert (announced["kind"], announced["status"]) == ("edit", "pending")
    assert not announced["rawInput"]
    updates = client.updates(session, "tool_call_update")
    growing = [update for update in updates if is_growing(update)]
    # Two seconds of writing, with at most a few updates in each.
    assert 2 <= len(growing) <= 9
    assert all(len(json.dumps(update)) < 5_000 for update in growing)
    titles = [update["title"] for update in updates if "title" in update]
    assert titles[0] == "write_file: new.py"
    (final,) = client.calls(session).values()
    assert final["status"] == "completed"
    assert final["rawInput"] == {"path": "new.py", "content": CONTENT}
    (diff,) = [block for block in final["content"] if block["type"] == "diff"]
    assert diff["newText"] == CONTENT == (project / "new.py").read_text()
    # The question came with all of it, after the call was whole.
    (question,) = client.questions(session)
    assert question["toolCall"]["rawInput"] == final["rawInput"]
    assert question["toolCall"]["content"] == final["content"]


def test_what_is_stored_and_shown_again_is_the_whole_call_alone(stage: Stage) -> None:
    project = stage.project(SLOW_WRITE, {"text": "Done."})
    client = stage.client
    session = client.new_session(project)
    assert client.prompt(session) == "end_turn"
    kinds = stored_kinds(stage, session)
    assert kinds.count("tool_started") == kinds.count("tool_finished") == 1
    assert not {"tool_writing", "tool_unwritten"} & set(kinds)
    client.request("session/close", {"sessionId": session})
    seen = len(client.updates(session))
    stage.open("session/load", session, project)
    again = [u for u in client.updates(session)[seen:] if u["sessionUpdate"].startswith("tool")]
    assert [update["sessionUpdate"] for update in again] == ["tool_call"]
    assert again[0]["status"] == "completed"
    assert again[0]["rawInput"] == {"path": "new.py", "content": CONTENT}


def test_a_session_that_is_opened_meanwhile_shows_the_call(stage: Stage) -> None:
    project = stage.project(SLOW_WRITE, {"text": "Done."})
    client = stage.client
    session = client.new_session(project)
    request = client.begin_prompt(session)
    client.wait_update(session, is_growing)
    seen = len(client.updates(session))
    stage.open("session/load", session, project)
    shown = [u for u in client.updates(session)[seen:] if u["sessionUpdate"] == "tool_call"]
    assert client.result(request) == {"stopReason": "end_turn"}
    assert [update["status"] for update in shown] == ["pending"]
    assert client.calls(session)[shown[0]["toolCallId"]]["status"] == "completed"


@pytest.mark.parametrize("method", ["session/cancel", "$/cancel_request"])
def test_a_cancel_leaves_no_call_open(stage: Stage, method: str) -> None:
    project = stage.project(SLOW_WRITE, {"text": "Next."}, {"text": "Next."})
    client = stage.client
    session = client.new_session(project)
    request = client.begin_prompt(session)
    client.wait_update(session, is_growing)
    params = {"sessionId": session} if method == "session/cancel" else {"requestId": request}
    client.notify(method, params)
    assert client.result(request, 10) == {"stopReason": "cancelled"}
    (call,) = client.calls(session).values()
    assert call["status"] == "failed"
    assert not (project / "new.py").exists()
    assert not any(kind.startswith("tool") for kind in stored_kinds(stage, session))
    seen = len(client.updates(session))
    assert client.prompt(session) == "end_turn"
    assert not [u for u in client.updates(session)[seen:] if "toolCallId" in u]


def test_the_bundled_model_shows_its_call_early_too(stage: Stage) -> None:
    if not (bundled_directory() / "model.safetensors").is_file():
        pytest.skip("the bundled model was not built; docs/tiny-model.md tells how")
    project = stage.project()
    (project / ".punie" / "settings.toml").write_text('model = "punie-tiny"\n')
    client = stage.client
    session = client.new_session(project)
    client.request("session/set_mode", {"sessionId": session, "modeId": "auto"})
    assert client.prompt(session, "Read app.py.") == "end_turn"
    (announced,) = client.updates(session, "tool_call")
    assert announced["name"] == "read_file"
    assert not announced["rawInput"], "announced before its arguments were known"
    assert "locations" not in announced
    (final,) = client.calls(session).values()
    assert final["status"] == "completed"
    assert final["rawInput"]["path"] == "app.py"
    assert "greet" in str(final["content"])
    shown = str(client.text(session))
    assert "<" not in shown
    assert "parameter" not in shown
