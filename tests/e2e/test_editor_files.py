"""Files go through the client where it offers that: what a person types is what the model sees."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import Client, Json, merged_calls
from tests.e2e.conftest import Script, Start
from tests.e2e.ide import FILES, Failure, Ide

pytestmark = pytest.mark.shared_agent

READ = {"tool": "read_file", "arguments": {"path": "app.py"}}
EDIT = {
    "tool": "edit_file",
    "arguments": {"path": "app.py", "edits": [{"old_text": "Hello", "new_text": "Servus"}]},
}
WRITE = {"tool": "write_file", "arguments": {"path": "new/a.txt", "content": "new\n"}}
DONE = {"text": "Done."}


def run(command: str) -> Json:
    return {"tool": "run_command", "arguments": {"command": command}}


def open_ide(
    start: Start,
    model: str,
    project: Path,
    capabilities: Json = FILES,
    mode: str = "auto",
    sound: bool = True,
) -> tuple[Ide, str]:
    client = start(model, environment={"PUNIE_MODE": mode}, sound=sound)
    client.initialize(clientCapabilities=capabilities)
    return Ide(client), client.new_session(project)


def results(client: Client, session: str) -> list[Json]:
    return list(merged_calls(client.updates(session)).values())


def shown(call: Json) -> str:
    """Return the text under a finished call."""
    return "\n".join(
        part["content"]["text"] for part in call["content"] if part["type"] == "content"
    )


def test_the_unsaved_text_is_read(start: Start, script: Script, project: Path) -> None:
    ide, session = open_ide(start, script({"calls": [READ]}, DONE), project)
    ide.buffers[str(project / "app.py")] = "typed = 'just now'\n"
    assert ide.client.prompt(session) == "end_turn"
    (call,) = results(ide.client, session)
    assert "typed = 'just now'" in shown(call)
    assert "Note: this is the unsaved text of the IDE" in shown(call)
    assert {request["sessionId"] for request in ide.requests("fs/read_text_file")} == {session}


def test_an_edit_of_a_file_that_differs_from_disk(
    start: Start, script: Script, project: Path
) -> None:
    ide, session = open_ide(start, script({"calls": [READ]}, {"calls": [EDIT]}, DONE), project)
    path = project / "app.py"
    ide.buffers[str(path)] = "# typed just now\n" + path.read_text()
    assert ide.client.prompt(session) == "end_turn"
    _, edit = results(ide.client, session)
    assert edit["status"] == "completed"
    (diff,) = edit["content"]
    assert diff["oldText"].startswith("# typed just now\n")
    assert path.read_text() == ("# typed just now\ndef greet(name):\n    return 'Servus ' + name\n")
    (write,) = ide.requests("fs/write_text_file")
    assert write["content"] == path.read_text()


def test_a_new_file_in_a_new_folder(start: Start, script: Script, project: Path) -> None:
    ide, session = open_ide(start, script({"calls": [WRITE]}, DONE), project)
    assert ide.client.prompt(session) == "end_turn"
    assert (project / "new" / "a.txt").read_text() == "new\n"
    assert len(ide.requests("fs/write_text_file")) == 1


def test_typing_while_the_question_is_open(start: Start, script: Script, project: Path) -> None:
    model = script({"calls": [READ]}, {"calls": [EDIT]}, DONE)
    ide, session = open_ide(start, model, project, mode="ask")
    path = project / "app.py"
    allow = ide.answer

    def type_first(request: Json) -> Any:
        ide.buffers[str(path)] = "# typed\n" + path.read_text()
        return allow(request)

    ide.answer = type_first
    assert ide.client.prompt(session) == "end_turn"
    _, edit = results(ide.client, session)
    assert edit["status"] == "failed"
    assert "changed since it was read" in shown(edit)
    assert ide.requests("fs/write_text_file") == []


def test_a_client_that_fails_to_write(start: Start, script: Script, project: Path) -> None:
    ide, session = open_ide(start, script({"calls": [EDIT]}, DONE), project)
    ide.failing["fs/write_text_file"] = Failure("Internal error", "the index is being built.")
    assert ide.client.prompt(session) == "end_turn"
    (edit,) = results(ide.client, session)
    assert edit["status"] == "completed"
    assert shown(edit) == (
        "Note: written to disk; the IDE could not be told, because the index is being built."
    )
    assert "Servus" in (project / "app.py").read_text()


def test_a_client_that_does_not_allow_it(start: Start, script: Script, project: Path) -> None:
    ide, session = open_ide(start, script({"calls": [EDIT]}, DONE), project)
    denied = "Permission denied for fs/write_text_file"
    ide.failing["fs/write_text_file"] = Failure("Internal error", denied)
    assert ide.client.prompt(session) == "end_turn"
    (edit,) = results(ide.client, session)
    assert edit["status"] == "failed"
    assert f"the IDE does not allow app.py to be written: {denied}" in shown(edit)
    assert "Hello" in (project / "app.py").read_text()


def test_a_client_that_fails_to_read(start: Start, script: Script, project: Path) -> None:
    ide, session = open_ide(start, script({"calls": [READ]}, {"calls": [EDIT]}, DONE), project)
    ide.failing["fs/read_text_file"] = Failure("Resource not found")
    assert ide.client.prompt(session) == "end_turn"
    read, edit = results(ide.client, session)
    assert "return 'Hello ' + name" in shown(read)
    assert edit["status"] == "completed"
    assert "Servus" in (project / "app.py").read_text()


def test_a_client_that_answers_nonsense(start: Start, script: Script, project: Path) -> None:
    ide, session = open_ide(start, script({"calls": [READ]}, DONE), project, sound=False)
    client = ide.client

    def nonsense(request: Json) -> Json:
        return {"content": ["not", "text"]}

    client.answer = nonsense
    assert client.prompt(session) == "end_turn"
    (call,) = results(client, session)
    assert "return 'Hello ' + name" in shown(call)


@pytest.mark.parametrize("call", [READ, EDIT], ids=["read", "edit"])
def test_a_client_that_never_answers_and_a_cancel(
    start: Start, script: Script, project: Path, call: Json
) -> None:
    ide, session = open_ide(start, script({"calls": [call]}, DONE), project)
    ide.silent = {"fs/read_text_file"}
    request = ide.client.begin_prompt(session)
    asked = ide.client.wait_for(lambda message: message.get("method") == "fs/read_text_file")
    # It is shown all the same, and soon.
    ide.client.wait_update(session, lambda update: update["sessionUpdate"] == "tool_call")
    begin = time.monotonic()
    ide.client.notify("session/cancel", {"sessionId": session})
    assert ide.client.result(request, 5) == {"stopReason": "cancelled"}
    assert time.monotonic() - begin < 2
    # The client hears that nobody waits any more.
    ide.client.wait_for(
        lambda message: (
            message.get("method") == "$/cancel_request"
            and message["params"] == {"requestId": asked["id"]}
        )
    )
    (final,) = results(ide.client, session)
    assert final["status"] == "failed"
    # The next turn works.
    ide.silent = set()
    assert ide.client.prompt(session) == "end_turn"


@pytest.mark.parametrize(
    "capabilities",
    [{}, {"fs": {}}, {"fs": {"readTextFile": False, "writeTextFile": False}}, {"fs": None}],
)
def test_a_client_without_files_is_not_asked(
    start: Start, script: Script, project: Path, capabilities: Json
) -> None:
    model = script({"calls": [READ]}, {"calls": [EDIT]}, {"calls": [WRITE]}, DONE)
    sound = capabilities.get("fs", {}) is not None
    ide, session = open_ide(start, model, project, capabilities, sound=sound)
    assert ide.client.prompt(session) == "end_turn"
    assert ide.asked == []
    assert "Servus" in (project / "app.py").read_text()


def test_a_client_that_only_reads(start: Start, script: Script, project: Path) -> None:
    model = script({"calls": [READ]}, {"calls": [EDIT]}, DONE)
    ide, session = open_ide(start, model, project, {"fs": {"readTextFile": True}})
    assert ide.client.prompt(session) == "end_turn"
    assert set(ide.asked) == {"fs/read_text_file"}
    assert "Servus" in (project / "app.py").read_text()


def test_a_client_that_only_writes(start: Start, script: Script, project: Path) -> None:
    model = script({"calls": [READ]}, {"calls": [EDIT]}, DONE)
    ide, session = open_ide(start, model, project, {"fs": {"writeTextFile": True}})
    assert ide.client.prompt(session) == "end_turn"
    assert ide.asked == ["fs/write_text_file"]


def test_the_client_never_hears_of_a_path_outside(
    start: Start, script: Script, project: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    (project / "link").symlink_to(tmp_path / "secret")
    calls: list[Json] = [
        {"tool": "read_file", "arguments": {"path": path}}
        for path in ("../secret", "link", str(tmp_path / "secret"), "/etc/hostname")
    ]
    writes: list[Json] = [
        {"tool": "write_file", "arguments": {"path": path, "content": "x"}}
        for path in ("../secret", "link")
    ]
    ide, session = open_ide(start, script({"calls": [*calls, *writes]}, DONE), project)
    assert ide.client.prompt(session) == "end_turn"
    assert [call["status"] for call in results(ide.client, session)] == ["failed"] * 6
    assert ide.asked == []
    assert (tmp_path / "secret").read_text() == "secret"


def test_after_a_command_the_disk_counts_until_the_client_has_noticed(
    start: Start, script: Script, project: Path
) -> None:
    command = run("sed -i.bak s/Hello/Moin/ app.py")
    ide, session = open_ide(
        start,
        script({"calls": [READ]}, {"calls": [command]}, {"calls": [READ]}, DONE, repeat=True),
        project,
    )
    path = project / "app.py"
    # What the client loaded once and goes on showing.
    ide.buffers[str(path)] = path.read_text()
    assert ide.client.prompt(session) == "end_turn"
    calls = results(ide.client, session)
    assert "Hello" in shown(calls[0])
    assert "Moin" in shown(calls[2])
    assert "unsaved" not in shown(calls[2])


def test_changes_on_both_sides_are_told(start: Start, script: Script, project: Path) -> None:
    model = script({"calls": [READ]}, {"calls": [run("echo '# more' >> app.py")]},
                   {"calls": [READ]}, {"calls": [EDIT]}, DONE)  # fmt: skip
    ide, session = open_ide(start, model, project)
    path = project / "app.py"
    ide.buffers[str(path)] = "# typed\n" + path.read_text()
    assert ide.client.prompt(session) == "end_turn"
    _, _, read, edit = results(ide.client, session)
    sentence = "app.py has unsaved changes in the IDE and was changed on disk as well"
    assert "# typed" in shown(read)
    assert sentence in shown(read)
    assert edit["status"] == "failed"
    assert sentence in shown(edit)
    assert ide.requests("fs/write_text_file") == []
    assert "# more" in path.read_text()


def test_two_sessions_ask_one_after_the_other(start: Start, script: Script, project: Path) -> None:
    ide, first = open_ide(start, script({"calls": [READ]}, DONE, repeat=True), project)
    second = ide.client.new_session(project)
    ide.silent = {"fs/read_text_file"}
    prompts = [ide.client.begin_prompt(first), ide.client.begin_prompt(second)]
    ide.client.wait_for(lambda message: message.get("method") == "fs/read_text_file")
    for session in (first, second):
        ide.client.wait_update(session, lambda update: update.get("status") == "in_progress")
    (asked,) = [
        message for message in ide.client.messages if message.get("method") == "fs/read_text_file"
    ]
    ide.silent = set()
    answer = {"content": "one at a time\n"}
    ide.client.send({"jsonrpc": "2.0", "id": asked["id"], "result": answer})
    for prompt in prompts:
        assert ide.client.result(prompt)["stopReason"] == "end_turn"
    assert len(ide.requests("fs/read_text_file")) == 2
