"""MCP servers that a client passes in, driven through the installed command over real pipes."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import COMMAND, Client, Json, deny, eventually, merged_calls, process_exists
from tests.e2e.conftest import Script, Start
from tests.tools.mcp.conftest import SERVER, listening
from tests.tools.mcp.ide import FULL, TOKEN, running_ide

Settled = Callable[[str], Json]

pytestmark = pytest.mark.shared_agent


def demo(name: str = "demo", **environment: str) -> Json:
    return {
        "name": name,
        "command": sys.executable,
        "args": [str(SERVER), "stdio"],
        "env": [{"name": key, "value": value} for key, value in environment.items()],
    }


def program(name: str, code: str) -> Json:
    return {"name": name, "command": sys.executable, "args": ["-c", code], "env": []}


def call(tool: str, **arguments: Any) -> Json:
    return {"tool": tool, "arguments": arguments}


def stored(environment: dict[str, str], session: str) -> list[Json]:
    """Return what is stored of a session's servers."""
    database = Path(environment["PUNIE_STATE_DIR"]) / "sessions.sqlite3"
    with closing(sqlite3.connect(database)) as connection:
        query = "SELECT meta FROM sessions WHERE id = ?"
        (meta,) = connection.execute(query, (session,)).fetchone()
    reports = json.loads(meta).get("mcp", [])
    assert isinstance(reports, list)
    return reports


@pytest.fixture
def settled(environment: dict[str, str]) -> Settled:
    """Wait until no server of a session is on its way; return what is stored of them by name."""

    def wait(session: str) -> Json:
        servers: Json = {}

        def done() -> bool:
            servers.update({server["name"]: server for server in stored(environment, session)})
            states = [server["state"] for server in servers.values()]
            return bool(states) and "connecting" not in states

        assert eventually(done, 30)
        return servers

    return wait


def test_a_call_is_asked_for_and_its_result_shown(
    start: Start, script: Script, project: Path, settled: Settled
) -> None:
    client = start(script({"calls": [call("mcp__demo__echo", text="ab", times=2)]}, {"text": "ok"}))
    client.initialize()
    session = client.new_session(project, mcpServers=[demo()])
    assert settled(session)["demo"]["state"] == "connected"
    assert client.prompt(session) == "end_turn"
    (question,) = [m for m in client.messages if m.get("method") == "session/request_permission"]
    asked = question["params"]["toolCall"]
    assert asked["title"] == "demo: Say it again ab"
    assert "echo {" in json.dumps(asked["content"])
    (done,) = merged_calls(client.updates(session)).values()
    assert (done["status"], done["kind"]) == ("completed", "read")
    assert "abab" in json.dumps(done["content"])
    assert done["rawInput"] == {"text": "ab", "times": 2}


def test_a_denied_call_never_reaches_the_server(
    start: Start, script: Script, project: Path, settled: Settled
) -> None:
    client = start(script({"calls": [call("mcp__demo__die", code=1)]}, {"text": "ok"}), answer=deny)
    client.initialize()
    session = client.new_session(project, mcpServers=[demo()])
    settled(session)
    assert client.prompt(session) == "end_turn"
    (denied,) = merged_calls(client.updates(session)).values()
    assert denied["status"] == "failed"
    assert settled(session)["demo"]["state"] == "connected"


def test_always_for_a_call_of_a_server_is_for_just_these_arguments(
    start: Start, script: Script, project: Path, settled: Settled
) -> None:
    calls = [call("mcp__demo__echo", text=text) for text in ("one", "one", "two")]
    answers = ["allow_always", "reject_once"]

    def answer(request: Json) -> Json:
        kind = answers.pop(0)
        options = request["params"]["options"]
        chosen = next(option for option in options if option["kind"] == kind)
        return {"outcome": {"outcome": "selected", "optionId": chosen["optionId"]}}

    client = start(script(*({"calls": [each]} for each in calls), {"text": "ok"}), answer=answer)
    client.initialize()
    session = client.new_session(project, mcpServers=[demo()])
    settled(session)
    assert client.prompt(session) == "end_turn"
    done = merged_calls(client.updates(session)).values()
    assert [each["status"] for each in done] == ["completed", "completed", "failed"]
    assert answers == []


def test_plan_mode_calls_nothing_outside(
    start: Start, script: Script, project: Path, settled: Settled
) -> None:
    model = script({"calls": [call("mcp__demo__echo", text="ab")]}, {"text": "ok"})
    client = start(model, environment={"PUNIE_MODE": "plan"})
    client.initialize()
    session = client.new_session(project, mcpServers=[demo()])
    settled(session)
    assert client.prompt(session) == "end_turn"
    (denied,) = merged_calls(client.updates(session)).values()
    assert denied["status"] == "failed"
    assert not [m for m in client.messages if m.get("method") == "session/request_permission"]


def test_what_a_server_writes_to_stderr_is_logged_without_its_secrets(
    start: Start, script: Script, project: Path, settled: Settled, environment: dict[str, str]
) -> None:
    client = start(script({"text": "ok"}))
    client.initialize()
    servers = [demo(SECRET_TOKEN="hunter2hunter2"), program("noisy", "print('not a message')")]
    session = client.new_session(project, mcpServers=servers)
    settled(session)
    assert client.prompt(session) == "end_turn"
    client.close_stdin()
    client.wait_exit()
    assert client.stderr == ""
    assert client.noise == []
    log = (Path(environment["PUNIE_STATE_DIR"]) / "logs" / "punie.log").read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    said = [line for line in lines if line["event"] == "an MCP server said"]
    assert any("ready, with" in line["line"] for line in said if line["session"] == session)
    assert "hunter2" not in log


def test_the_command_in_the_chat(
    start: Start, script: Script, project: Path, settled: Settled
) -> None:
    client = start(script({"text": "ok"}), sound=False)
    client.initialize()
    session = client.new_session(project, mcpServers=[demo(), {"name": "bare"}])
    settled(session)
    assert client.prompt(session, "/mcp") == "end_turn"
    text = client.text(session)
    assert "- **`demo`** connected, 11 tools\n  - `mcp__demo__echo`\n" in text
    assert "- **`bare`** not used: its entry names no command" in text
    without = client.new_session(project)
    assert client.prompt(without, "/mcp") == "end_turn"
    assert client.text(without) == "This session was given no MCP servers."


@pytest.mark.parametrize("how", ["http", "sse"])
def test_servers_on_a_port(
    start: Start, script: Script, project: Path, settled: Settled, how: str
) -> None:
    client = start(
        script({"calls": [call("mcp__web__echo", text="over the wire")]}, {"text": "ok"})
    )
    with listening(how) as port:
        client.initialize()
        url = f"http://127.0.0.1:{port}/{'mcp' if how == 'http' else 'sse'}"
        entry = {"type": how, "name": "web", "url": url, "headers": []}
        session = client.new_session(project, mcpServers=[entry])
        assert settled(session)["web"]["transport"] == how
        assert client.prompt(session) == "end_turn"
        (done,) = merged_calls(client.updates(session)).values()
        assert "over the wire" in json.dumps(done["content"])


def test_bad_servers_are_told_of_once_and_no_more_after_a_load(
    start: Start, script: Script, project: Path, settled: Settled
) -> None:
    servers: list[Json] = [
        program("quits", "import sys; sys.exit(0)"),
        {"name": "missing", "command": "/no/such/program", "args": [], "env": []},
        {"type": "telepathy", "name": "odd", "url": "x"},
        {"name": "bare"},
    ]
    model = script({"text": "one"}, {"text": "two"}, {"text": "three"})
    client = start(model, sound=False)
    client.initialize()
    session = client.new_session(project, mcpServers=servers)
    settled(session)
    assert client.prompt(session) == "end_turn"
    said = {
        "The MCP server quits is not used, because it ended with exit code 0; the session goes on "
        "without it.",
        "The MCP server missing is not used, because the command program was not found; the "
        "session goes on without it.",
        "The MCP server odd is not used, because servers of the kind 'telepathy' are not "
        "supported; the session goes on without it.",
        "The MCP server bare is not used, because its entry names no command; the session goes on "
        "without it.",
    }
    text = client.text(session)
    assert all(sentence in text for sentence in said)
    assert client.prompt(session) == "end_turn"
    assert client.text(session).count("is not used") == len(said)
    client.close_stdin()
    client.wait_exit()

    later = start(model, sound=False)
    later.initialize()
    params = {"sessionId": session, "cwd": str(project), "mcpServers": servers}
    later.request("session/load", params)
    replayed = later.text(session).count("is not used")
    settled(session)
    assert later.prompt(session) == "end_turn"
    assert later.text(session).count("is not used") == replayed == len(said)


def test_the_session_is_not_held_up_by_a_server_that_hangs(
    start: Start, script: Script, project: Path
) -> None:
    client = start(script({"text": "Hello."}))
    client.initialize()
    silent = program("silent", "import time; time.sleep(987)")
    session = client.new_session(project, mcpServers=[silent])
    assert client.prompt(session) == "end_turn"
    assert "Hello." in client.text(session)


def test_the_ides_server_behind_a_launcher_that_speaks_no_mcp(
    start: Start,
    script: Script,
    project: Path,
    settled: Settled,
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    launcher = tmp_path / "pycharm"
    launcher.write_text("#!/bin/sh\nexit 0\n")
    launcher.chmod(0o755)
    with running_ide(FULL) as ide:
        entry = {
            "name": "idea",
            "command": str(launcher),
            "args": ["stdioMcpServer"],
            "env": [{"name": k, "value": v} for k, v in ide.environment().items()],
        }
        problems = call("mcp__idea__get_file_problems", filePath="app.py")
        client = start(
            script({"calls": [problems]}, {"text": "ok"}), environment={"PUNIE_LOG_LEVEL": "DEBUG"}
        )
        client.initialize("JetBrains.PyCharm")
        session = client.new_session(project, mcpServers=[entry])
        assert [tool["name"] for tool in settled(session)["idea"]["tools"]] == [
            "get_file_problems",
            "rename_refactoring",
            "reformat_file",
        ]
        assert client.prompt(session) == "end_turn"
        # It only reads, so nobody is asked.
        assert not [m for m in client.messages if m.get("method") == "session/request_permission"]
        (done,) = merged_calls(client.updates(session)).values()
        assert (done["title"], done["status"]) == ("idea: Find problems in app.py", "completed")
        assert done["locations"] == [{"path": str(project / "app.py")}]
        assert ide.called[0]["arguments"]["projectPath"] == str(project)
        client.close_stdin()
        client.wait_exit()
    kept = [path for path in Path(environment["PUNIE_STATE_DIR"]).rglob("*") if path.is_file()]
    assert kept
    assert not [path for path in kept if TOKEN.encode() in path.read_bytes()]


def test_two_sessions_have_servers_of_their_own(
    start: Start, script: Script, project: Path, settled: Settled
) -> None:
    model = script({"calls": [call("mcp__demo__variable", name="WHO")]}, {"text": "ok"})
    client = start(model, environment={"PUNIE_MODE": "auto"})
    client.initialize()
    first = client.new_session(project, mcpServers=[demo(WHO="first")])
    second = client.new_session(project, mcpServers=[demo(WHO="second")])
    for session, who in ((first, "first"), (second, "second")):
        settled(session)
        assert client.prompt(session) == "end_turn"
        (done,) = merged_calls(client.updates(session)).values()
        assert who in json.dumps(done["content"])
    client.request("session/close", {"sessionId": first})
    third = client.new_session(project)
    assert client.prompt(third) == "end_turn"
    (failed,) = merged_calls(client.updates(third)).values()
    assert failed["status"] == "failed"


def test_no_variable_of_ours_reaches_a_server(
    start: Start, script: Script, project: Path, settled: Settled
) -> None:
    asked = call("mcp__demo__variable", name="PUNIE_STATE_DIR")
    client = start(script({"calls": [asked]}, {"text": "ok"}), environment={"PUNIE_MODE": "auto"})
    client.initialize()
    session = client.new_session(project, mcpServers=[demo()])
    settled(session)
    assert client.prompt(session) == "end_turn"
    (done,) = merged_calls(client.updates(session)).values()
    assert "(not set)" in json.dumps(done["content"])


def test_a_cancelled_call(
    start: Start, script: Script, project: Path, settled: Settled, environment: dict[str, str]
) -> None:
    model = script({"calls": [call("mcp__demo__slow", seconds=60)]}, {"text": "Next."})
    client = start(model, environment={"PUNIE_MODE": "auto"})
    client.initialize()
    session = client.new_session(project, mcpServers=[demo()])
    settled(session)
    prompt = client.begin_prompt(session)
    client.wait_update(session, lambda update: "working" in json.dumps(update))
    client.notify("session/cancel", {"sessionId": session})
    assert client.result(prompt, 5) == {"stopReason": "cancelled"}
    (ended,) = merged_calls(client.updates(session)).values()
    assert ended["status"] == "failed"
    assert client.prompt(session) == "end_turn"
    # The server was told so too.
    log = Path(environment["PUNIE_STATE_DIR"]) / "logs" / "punie.log"
    assert eventually(lambda: "slow was cancelled" in log.read_text())


@pytest.mark.parametrize("end", ["close", "eof", "sigterm", "kill"])
def test_nothing_is_left_behind(
    environment: dict[str, str], script: Script, project: Path, end: str
) -> None:
    environment["PUNIE_MODEL"] = script({"calls": [call("mcp__demo__child")]}, {"text": "ok"})
    environment["PUNIE_MODE"] = "auto"
    stubborn = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "open('pid', 'w').write(str(os.getpid()))\n"
        "time.sleep(987)"
    )
    # The client is a process of its own, so that it can be killed without a word.
    parent = project.parent / "parent.py"
    parent.write_text(
        "import subprocess, sys\n"
        "agent = subprocess.Popen([sys.argv[1], 'acp'])\n"
        "open(sys.argv[2], 'w').write(str(agent.pid))\n"
        "agent.wait()"
    )
    agent = project.parent / "agent"
    with Client(
        environment, command=[sys.executable, str(parent)], arguments=[str(COMMAND), str(agent)]
    ) as client:
        client.initialize()
        servers = [demo(), program("stubborn", stubborn)]
        session = client.new_session(project, mcpServers=servers)
        pid_file = project / "pid"
        assert eventually(lambda: pid_file.exists() and bool(pid_file.read_text()), 20)
        assert eventually(lambda: stored(environment, session)[0]["state"] == "connected", 20)
        assert client.prompt(session) == "end_turn"
        (done,) = merged_calls(client.updates(session)).values()
        child = re.findall(r"\d+", done["content"][0]["content"]["text"])
        left = [int(pid_file.read_text()), *map(int, child)]
        assert len(left) == 2
        assert all(process_exists(pid) for pid in left)
        match end:
            case "close":
                client.request("session/close", {"sessionId": session})
            case "eof":
                client.close_stdin()
            case "sigterm":
                os.kill(int(agent.read_text()), signal.SIGTERM)
            case _:
                client.process.kill()
        assert eventually(lambda: not any(process_exists(pid) for pid in left), 3)


def test_the_command_shows_the_latest_session_of_the_project(
    start: Start, script: Script, project: Path, settled: Settled, environment: dict[str, str]
) -> None:
    client = start(script({"text": "Hello."}), sound=False)
    client.initialize()
    session = client.new_session(project, mcpServers=[demo(KEY="hunter2hunter2"), {"name": "bare"}])
    settled(session)
    inside = project / "src"
    inside.mkdir()

    def run(*arguments: str, cwd: Path = inside) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, "mcp", *arguments],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    done = run()
    assert done.returncode == 0
    first, demo_line, *rest = done.stdout.splitlines()
    assert first == f"Session {session} in {project}"
    assert demo_line == "demo (stdio): connected, 11 tools"
    assert rest[0] == "  mcp__demo__echo"
    assert rest[-1] == "bare: not used: its entry names no command"
    shown = run("--json", "--session", session[:13])
    assert json.loads(shown.stdout) == {
        "session": session,
        "cwd": str(project),
        "servers": stored(environment, session),
    }
    assert "hunter" not in done.stdout + shown.stdout
    elsewhere = run(cwd=project.parent)
    assert elsewhere.returncode == 1
    assert "no session was opened in" in elsewhere.stderr
    assert run("--session", "nosuch").returncode == 1
    assert run("--project", str(project)).stdout == done.stdout
