"""Commands run in the client's terminals where it offers them, and nothing of them is left."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.client import Json, eventually, merged_calls, process_exists
from tests.e2e.conftest import Script, Start
from tests.e2e.ide import FILES, TERMINAL, Failure, Ide
from tests.processes import SLEEP, sleeping

pytestmark = pytest.mark.shared_agent

DONE = {"text": "Done."}


def run(command: str, **arguments: object) -> Json:
    call = {"tool": "run_command", "arguments": {"command": command, **arguments}}
    return {"calls": [call]}


@pytest.fixture
def ides() -> Iterator[list[Ide]]:
    opened: list[Ide] = []
    yield opened
    for ide in opened:
        ide.close()


def open_ide(
    ides: list[Ide], start: Start, model: str, project: Path, capabilities: Json = TERMINAL
) -> tuple[Ide, str]:
    client = start(model, environment={"PUNIE_MODE": "auto"})
    client.initialize(clientCapabilities=capabilities)
    ides.append(Ide(client))
    return ides[-1], client.new_session(project)


def pid_in(path: Path) -> int:
    assert eventually(lambda: path.exists() and bool(path.read_text().strip()), 30)
    return int(path.read_text())


def running(ide: Ide, project: Path) -> None:
    """Wait until a command runs that writes its id to `pid`, and the agent waits for its end."""
    ide.client.wait_for(lambda message: message.get("method") == "terminal/wait_for_exit")
    pid_in(project / "pid")
    assert sleeping()


def test_a_command(ides: list[Ide], start: Start, script: Script, project: Path) -> None:
    model = script(run("echo hi; pwd; exit 3"), DONE)
    ide, session = open_ide(ides, start, model, project)
    assert ide.client.prompt(session) == "end_turn"
    (terminal,) = ide.terminals.values()
    assert terminal.command["sessionId"] == session
    assert terminal.command["cwd"] == str(project)
    assert terminal.released
    assert ide.asked == [
        "terminal/create",
        "terminal/wait_for_exit",
        "terminal/output",
        "terminal/release",
    ]
    # The client embeds the live terminal, from before the command has ended.
    updates = [
        update
        for update in ide.client.updates(session, "tool_call_update")
        if update.get("content")
    ]
    embedded = [{"type": "terminal", "terminalId": "terminal-1"}]
    assert [update["content"] for update in updates] == [embedded, embedded]
    assert [update.get("status") for update in updates] == [None, "completed"]
    # What the model read is kept as text.
    assert read_of_first_call(ide, session, project) == ["exit code 3", "hi", str(project)]


def read_of_first_call(ide: Ide, session: str, project: Path) -> list[str]:
    """Open the session again; return the lines that the model read of its first call."""
    ide.client.request("session/close", {"sessionId": session})
    before = len(ide.client.updates(session))
    params = {"sessionId": session, "cwd": str(project), "mcpServers": []}
    ide.client.request("session/load", params)
    call = next(iter(merged_calls(ide.client.updates(session)[before:]).values()))
    text = call["content"][0]["content"]["text"]
    assert isinstance(text, str)
    return text.strip("`").strip().splitlines()


def test_a_signal(ides: list[Ide], start: Start, script: Script, project: Path) -> None:
    model = script(run("kill -9 $$"), DONE)
    ide, session = open_ide(ides, start, model, project)
    assert ide.client.prompt(session) == "end_turn"
    assert read_of_first_call(ide, session, project)[0] == "exit code 137"


def test_a_timeout_kills_and_releases(
    ides: list[Ide], start: Start, script: Script, project: Path
) -> None:
    model = script(run(f"echo $$ > pid; echo before; {SLEEP}", timeout=0.5), DONE)
    ide, session = open_ide(ides, start, model, project)
    assert ide.client.prompt(session) == "end_turn"
    assert ide.asked == [
        "terminal/create",
        "terminal/wait_for_exit",
        "terminal/kill",
        "terminal/output",
        "terminal/release",
    ]
    assert eventually(lambda: not sleeping())
    assert read_of_first_call(ide, session, project)[0] == "timed out after 0.5 s"


@pytest.mark.parametrize("silent", [set(), {"terminal/kill", "terminal/release"}])
def test_a_cancel_kills_and_releases(
    ides: list[Ide], start: Start, script: Script, project: Path, silent: set[str]
) -> None:
    model = script(run(f"echo $$ > pid; {SLEEP}"), DONE)
    ide, session = open_ide(ides, start, model, project)
    request = ide.client.begin_prompt(session)
    running(ide, project)
    ide.silent = silent
    begin = time.monotonic()
    ide.client.notify("session/cancel", {"sessionId": session})
    assert ide.client.result(request, 5) == {"stopReason": "cancelled"}
    assert time.monotonic() - begin < 2
    # Both were sent before the answer, and the answers were not waited for.
    assert ide.asked[-2:] == ["terminal/kill", "terminal/release"]
    if not silent:
        assert eventually(lambda: not sleeping())
    withdrawn = [
        message["params"]["requestId"]
        for message in ide.client.messages
        if message.get("method") == "$/cancel_request"
    ]
    waiting = next(
        message["id"]
        for message in ide.client.messages
        if message.get("method") == "terminal/wait_for_exit"
    )
    assert withdrawn == [waiting]
    ide.silent = set()
    assert ide.client.prompt(session) == "end_turn"


def test_a_terminal_that_opens_after_the_cancel_is_released(
    ides: list[Ide], start: Start, script: Script, project: Path
) -> None:
    model = script(run("sleep 60"), DONE)
    ide, session = open_ide(ides, start, model, project)
    ide.silent = {"terminal/create"}
    request = ide.client.begin_prompt(session)
    asked = ide.client.wait_for(lambda message: message.get("method") == "terminal/create")
    ide.client.notify("session/cancel", {"sessionId": session})
    assert ide.client.result(request, 5) == {"stopReason": "cancelled"}
    assert ide.asked == ["terminal/create"]
    answer = {"jsonrpc": "2.0", "id": asked["id"], "result": {"terminalId": "late"}}
    ide.silent = {"terminal/release"}
    ide.client.send(answer)
    released = ide.client.wait_for(lambda message: message.get("method") == "terminal/release")
    assert released["params"] == {"sessionId": session, "terminalId": "late"}


@pytest.mark.parametrize("end", ["close", "delete"])
def test_closing_a_session_releases_its_terminal(
    ides: list[Ide], start: Start, script: Script, project: Path, end: str
) -> None:
    model = script(run(f"echo $$ > pid; {SLEEP}"), DONE)
    ide, session = open_ide(ides, start, model, project)
    request = ide.client.begin_prompt(session)
    running(ide, project)
    ide.client.request(f"session/{end}", {"sessionId": session})
    assert ide.client.result(request, 5) == {"stopReason": "cancelled"}
    assert ide.terminals["terminal-1"].released
    assert eventually(lambda: not sleeping())


def test_the_end_of_stdin_releases_too(
    ides: list[Ide], start: Start, script: Script, project: Path
) -> None:
    ide, session = open_ide(ides, start, script(run(f"echo $$ > pid; {SLEEP}"), DONE), project)
    ide.client.begin_prompt(session)
    running(ide, project)
    ide.client.close_stdin()
    ide.client.wait_exit()
    ide.client.wait_read()
    assert ide.asked[-2:] == ["terminal/kill", "terminal/release"]


def test_without_the_capability_no_terminal_is_asked_for(
    ides: list[Ide], start: Start, script: Script, project: Path
) -> None:
    model = script(run("echo local > made"), DONE)
    ide, session = open_ide(ides, start, model, project, {**FILES, "terminal": False})
    assert ide.client.prompt(session) == "end_turn"
    assert (project / "made").read_text() == "local\n"
    assert ide.asked == []


def test_a_client_that_opens_none_after_all(
    ides: list[Ide], start: Start, script: Script, project: Path
) -> None:
    ide, session = open_ide(ides, start, script(run("echo local > made"), DONE), project)
    ide.failing["terminal/create"] = Failure("Method not found")
    assert ide.client.prompt(session) == "end_turn"
    assert (project / "made").read_text() == "local\n"
    assert ide.asked == ["terminal/create"]


def test_a_client_that_does_not_allow_it(
    ides: list[Ide], start: Start, script: Script, project: Path
) -> None:
    ide, session = open_ide(ides, start, script(run("echo local > made"), DONE), project)
    denied = "Permission denied for terminal/create"
    ide.failing["terminal/create"] = Failure("Internal error", denied)
    assert ide.client.prompt(session) == "end_turn"
    (call,) = merged_calls(ide.client.updates(session)).values()
    assert call["status"] == "failed"
    assert f"the IDE does not allow this command: {denied}" in str(call["content"])
    assert not (project / "made").exists()


def test_a_client_with_both_sees_edits_and_commands(
    ides: list[Ide], start: Start, script: Script, project: Path
) -> None:
    read = {"tool": "read_file", "arguments": {"path": "app.py"}}
    edit = {
        "tool": "edit_file",
        "arguments": {"path": "app.py", "edits": [{"old_text": "Moin", "new_text": "Servus"}]},
    }
    model = script(
        {"calls": [read]},
        run("sed -i.bak s/Hello/Moin/ app.py"),
        {"calls": [read]},
        {"calls": [edit]},
        run("cat app.py"),
        DONE,
    )
    ide, session = open_ide(ides, start, model, project, {**FILES, **TERMINAL})
    # The client shows what it loaded until it is given something new.
    ide.buffers[str(project / "app.py")] = (project / "app.py").read_text()
    assert ide.client.prompt(session) == "end_turn"
    calls = merged_calls(ide.client.updates(session)).values()
    assert [call["status"] for call in calls] == ["completed"] * 5
    assert (project / "app.py").read_text().endswith("return 'Servus ' + name\n")
    assert all(terminal.released for terminal in ide.terminals.values())


def test_the_users_shell_and_the_projects_environment(
    ides: list[Ide], start: Start, script: Script, project: Path, environment: dict[str, str]
) -> None:
    """Locally, as with a JetBrains IDE that was started from the dock."""
    home = Path(environment["HOME"])
    (home / ".bash_profile").write_text(
        "echo Welcome; export PATH=/from/profile:$PATH; export SECRET='two\nlines'\n"
    )
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".venv" / "bin" / "python").symlink_to("/bin/sh")
    environment["SHELL"] = "/bin/bash"
    command = 'printf "%s\\n" "$PATH" "$VIRTUAL_ENV" "$SECRET" "${PUNIE_MODE:-none}" > seen'
    ide, session = open_ide(ides, start, script(run(command), DONE), project, FILES)
    assert ide.client.prompt(session) == "end_turn"
    path, venv, *rest = (project / "seen").read_text().splitlines()
    assert path.split(":")[0] == f"{project}/.venv/bin"
    assert "/from/profile" in path.split(":")
    assert venv == f"{project}/.venv"
    assert rest == ["two", "lines", "none"]


def test_the_shell_is_asked_while_the_model_answers(
    ides: list[Ide], start: Start, script: Script, project: Path, environment: dict[str, str]
) -> None:
    home = Path(environment["HOME"])
    (home / ".bash_profile").write_text("echo $$ > ~/pid; sleep 600\n")
    environment["SHELL"] = "/bin/bash"
    ide, session = open_ide(ides, start, script(DONE), project, FILES)
    assert ide.client.prompt(session) == "end_turn"
    pid = home / "pid"
    assert eventually(lambda: pid.exists() and pid.read_text().endswith("\n"))
    ide.client.close_stdin()
    ide.client.wait_exit()
    assert not process_exists(int(pid.read_text()))
    pid.unlink()


def test_a_profile_that_hangs_delays_only_the_first_command(
    ides: list[Ide], start: Start, script: Script, project: Path, environment: dict[str, str]
) -> None:
    (Path(environment["HOME"]) / ".bash_profile").write_text("echo $$ > ~/pid; sleep 600\n")
    environment["SHELL"] = "/bin/bash"
    model = script(run("echo one >> made"), run("echo two >> made"), DONE)
    ide, session = open_ide(ides, start, model, project, FILES)
    assert not (Path(environment["HOME"]) / "pid").exists()
    assert ide.client.prompt(session) == "end_turn"
    assert (project / "made").read_text() == "one\ntwo\n"
    assert not process_exists(int((Path(environment["HOME"]) / "pid").read_text()))
