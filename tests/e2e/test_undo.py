"""/undo takes file changes back, shows that as edits, and survives kill -9."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.e2e.client import Client, Json, merged_calls
from tests.e2e.conftest import Script, Start
from tests.e2e.test_commands import load, opened, said

pytestmark = pytest.mark.shared_agent

EDIT = {
    "tool": "edit_file",
    "arguments": {"path": "app.py", "edits": [{"old_text": "Hello", "new_text": "Servus"}]},
}
CREATE = {"tool": "write_file", "arguments": {"path": "new/note.txt", "content": "note\n"}}
COMMAND = {
    "tool": "run_command",
    "arguments": {"command": "printf made > made.txt; mv data.bin moved.bin; echo more >> app.py"},
}
BEFORE = "def greet(name):\n    return 'Hello ' + name\n"
AFTER = BEFORE.replace("Hello", "Servus")


@pytest.fixture
def auto() -> dict[str, str]:
    return {"PUNIE_MODE": "auto"}


def undone(client: Client, session: str) -> list[Json]:
    """Return the tool calls by which changes were taken back."""
    calls = merged_calls(client.updates(session))
    return [call for id, call in calls.items() if id.startswith("undo-")]


def test_changes_are_taken_back_as_edits(
    start: Start, script: Script, project: Path, auto: dict[str, str]
) -> None:
    client = start(
        script({"calls": [EDIT, CREATE]}, {"text": "Done."}, {"text": "It is Python."}),
        environment=auto,
    )
    session = opened(client, project)
    client.prompt(session, "Say Servus and make a note.")
    client.prompt(session, "What language is it?")
    assert (project / "app.py").read_text() == AFTER
    answer = said(client, session, "/undo")
    assert answer == (
        "The file changes of the turn “Say Servus and make a note” are taken back:\n\n"
        "- `new/note.txt` is removed\n- `app.py` is as it was before"
    )
    assert (project / "app.py").read_text() == BEFORE
    assert not (project / "new/note.txt").exists()
    removed, restored = undone(client, session)
    assert {call["kind"] for call in (removed, restored)} == {"edit"}
    assert {call["status"] for call in (removed, restored)} == {"completed"}
    assert restored["title"] == "Set back app.py"
    assert restored["content"] == [
        {
            "type": "diff",
            "path": str(project / "app.py"),
            "oldText": AFTER,
            "newText": BEFORE,
        }
    ]
    assert removed["content"][0]["oldText"] == "note\n"
    assert removed["content"][0]["newText"] == ""
    assert said(client, session, "/undo") == (
        "There are no file changes to take back in this session."
    )


def test_what_changed_since_is_left_and_named(
    start: Start, script: Script, project: Path, auto: dict[str, str]
) -> None:
    (project / "data.bin").write_bytes(b"\0\xff")
    client = start(script({"calls": [EDIT, CREATE, COMMAND]}, {"text": "Done."}), environment=auto)
    session = opened(client, project)
    client.prompt(session, "Go")
    (project / "made.txt").write_text("mine\n")
    answer = said(client, session, "/undo")
    for line in (
        "- `new/note.txt` is removed",
        "- `moved.bin` is removed",
        "- `data.bin` is as it was before",
        "- `app.py` is as it was before",
    ):
        assert line in answer
    assert answer.endswith(
        "Not taken back:\n\n- made.txt was changed since then and was left as it is"
    )
    assert (project / "app.py").read_text() == BEFORE
    assert (project / "data.bin").read_bytes() == b"\0\xff"
    assert (project / "made.txt").read_text() == "mine\n"
    answer = said(client, session, "/redo")
    assert answer.startswith("The file changes of the turn “Go” are brought back:")
    assert (project / "app.py").read_text() == AFTER + "more\n"
    assert (project / "moved.bin").read_bytes() == b"\0\xff"
    assert not (project / "data.bin").exists()
    assert (project / "made.txt").read_text() == "mine\n"


@pytest.mark.parametrize("argument", ["0", "-1", "two", "1 2", "٣", "9" * 5_000])
def test_only_numbers_of_turns(start: Start, script: Script, project: Path, argument: str) -> None:
    client = start(script({"text": "Hi."}))
    session = opened(client, project)
    assert said(client, session, f"/undo {argument}").startswith("`/undo` takes the number")


def test_undo_after_kill_9_and_load(
    start: Start, script: Script, project: Path, auto: dict[str, str]
) -> None:
    again = {
        "tool": "edit_file",
        "arguments": {"path": "app.py", "edits": [{"old_text": "Servus", "new_text": "Moin"}]},
    }
    model = script(
        {"calls": [EDIT]},
        {"text": "One."},
        {"calls": [again]},
        {"text": "Two."},
        {"text": "Three."},
    )
    first = start(model, environment=auto)
    session = opened(first, project)
    first.prompt(session, "first")
    first.prompt(session, "second")
    assert "Moin" in (project / "app.py").read_text()
    first.kill()
    # In plan mode too: the person asked for it.
    client = start(model, environment={"PUNIE_MODE": "plan"})
    client.initialize()
    load(client, session, project)
    client.request("session/set_mode", {"sessionId": session, "modeId": "plan"})
    assert "`app.py` is as it was before" in said(client, session, "/undo")
    assert (project / "app.py").read_text() == AFTER
    client.kill()
    client = start(model, environment=auto)
    client.initialize()
    load(client, session, project)
    (shown,) = undone(client, session)
    assert (shown["status"], shown["content"][0]["newText"]) == ("completed", AFTER)
    assert "The file changes of the turn “First” are taken back" in said(client, session, "/undo")
    assert (project / "app.py").read_text() == BEFORE
    assert said(client, session, "go on") == "Three."


def test_several_turns_at_once(
    start: Start, script: Script, project: Path, auto: dict[str, str]
) -> None:
    client = start(
        script({"calls": [EDIT]}, {"text": "One."}, {"calls": [CREATE]}, {"text": "Two."}),
        environment=auto,
    )
    session = opened(client, project)
    client.prompt(session, "first")
    client.prompt(session, "second")
    assert said(client, session, "/undo 5").startswith("The file changes of 2 turns are taken back")
    assert (project / "app.py").read_text() == BEFORE
    assert not (project / "new/note.txt").exists()


def test_the_model_must_read_again_after_an_undo(
    start: Start, script: Script, project: Path, auto: dict[str, str]
) -> None:
    read = {"tool": "read_file", "arguments": {"path": "app.py"}}
    client = start(
        script(
            {"calls": [EDIT]},
            {"text": "One."},
            {"calls": [EDIT, read, EDIT]},
            {"text": "Two."},
        ),
        environment=auto,
    )
    session = opened(client, project)
    client.prompt(session, "first")
    said(client, session, "/undo")
    client.prompt(session, "second")
    calls = list(merged_calls(client.updates(session)).values())
    statuses = [call["status"] for call in calls if not call["toolCallId"].startswith("undo-")]
    assert statuses == ["completed", "failed", "completed", "completed"]
    assert "changed since it was read" in str(calls[2])
    assert (project / "app.py").read_text() == AFTER


def test_a_file_that_cannot_be_written_fails_visibly(
    start: Start, script: Script, project: Path, auto: dict[str, str]
) -> None:
    client = start(script({"calls": [EDIT]}, {"text": "One."}), environment=auto)
    session = opened(client, project)
    client.prompt(session, "first")
    (project / "app.py").chmod(0o444)
    answer = said(client, session, "/undo")
    assert answer.startswith("No file was changed.\n\nNot taken back:\n\n- app.py is read-only")
    (call,) = undone(client, session)
    assert call["status"] == "failed"
    (project / "app.py").chmod(0o644)
    assert "as it was before" in said(client, session, "/undo")


def test_the_guide_of_init_can_be_taken_back(
    start: Start, script: Script, project: Path, auto: dict[str, str]
) -> None:
    client = start(script({"text": "Hi."}), environment=auto)
    session = opened(client, project)
    said(client, session, "/init")
    assert (project / "AGENTS.md").exists()
    assert "`AGENTS.md` is removed" in said(client, session, "/undo")
    assert not (project / "AGENTS.md").exists()


def test_the_next_prompt_tells_the_model_and_shows_nothing_of_it(
    start: Start,
    script: Script,
    project: Path,
    auto: dict[str, str],
    environment: dict[str, str],
) -> None:
    model = script({"calls": [EDIT]}, {"text": "One."}, {"calls": [EDIT]}, {"text": "Two."})
    client = start(model, environment=auto)
    session = opened(client, project)
    client.prompt(session, "first")
    said(client, session, "/undo")
    client.prompt(session, "Try once more.")
    (project / "app.py").write_text(AFTER)
    database = sqlite3.connect(Path(environment["PUNIE_STATE_DIR"]) / "sessions.sqlite3")
    query = "SELECT payload FROM events WHERE kind = 'user_message' AND session_id = ? ORDER BY seq"
    rows = database.execute(query, (session,))
    messages = [json.loads(payload) for (payload,) in rows]
    database.close()
    assert [message["command"] for message in messages] == [None, "undo", None]
    assert messages[2]["text"].startswith("(The user took your changes to app.py back")
    assert messages[2]["text"].endswith("\n\nTry once more.")
    client.kill()
    client = start(model, environment=auto)
    client.initialize()
    load(client, session, project)
    user = [update["content"]["text"] for update in client.updates(session, "user_message_chunk")]
    assert user == ["first", "/undo", "Try once more."]


def test_a_copied_session_can_undo_and_a_deleted_one_keeps_nothing(
    start: Start,
    script: Script,
    project: Path,
    auto: dict[str, str],
    environment: dict[str, str],
) -> None:
    kept = Path(environment["PUNIE_STATE_DIR"]) / "checkpoints"
    client = start(script({"calls": [EDIT]}, {"text": "One."}), environment=auto)
    session = opened(client, project)
    client.prompt(session, "first")
    copied = client.request(
        "session/fork", {"sessionId": session, "cwd": str(project), "mcpServers": []}
    )["sessionId"]
    assert (kept / session).exists()
    client.request("session/delete", {"sessionId": session})
    assert not (kept / session).exists()
    assert "`app.py` is as it was before" in said(client, copied, "/undo")
    assert (project / "app.py").read_text() == BEFORE
    assert "`app.py` is changed again" in said(client, copied, "/redo")
    client.request("session/delete", {"sessionId": copied})
    assert not (kept / copied).exists()
