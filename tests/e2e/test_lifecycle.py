"""The process is gone within a second of its client, with every child it started."""

import array
import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.client import COMMAND, Client, Json, eventually, process_exists
from tests.e2e.conftest import Script, Start
from tests.processes import SLEEP, sleeping
from tests.texts import numbers

LIMIT = 1.0
# What a loaded machine may add between the event and our noticing it.
SLACK = 0.5


def sleeping_turn(start: Start, script: Script, project: Path) -> Client:
    """Start an agent whose tool runs a long `sleep`."""
    command = f"{SLEEP} & echo $! > child; wait"
    call = {"tool": "run_command", "arguments": {"command": command}}
    client = start(script({"calls": [call]}), environment={"PUNIE_MODE": "auto"})
    client.initialize()
    client.begin_prompt(client.new_session(project))
    child = project / "child"
    assert eventually(lambda: child.exists() and bool(child.read_text().strip()), 30)
    assert sleeping()
    return client


def stop_by_signal(number: signal.Signals) -> Callable[[Client], None]:
    def stop(client: Client) -> None:
        client.process.send_signal(number)

    return stop


@pytest.mark.parametrize(
    ("stop", "code"),
    [
        (Client.close_stdin, 0),
        (stop_by_signal(signal.SIGTERM), 143),
        (stop_by_signal(signal.SIGHUP), 129),
        (stop_by_signal(signal.SIGINT), 130),
    ],
    ids=["stdin-eof", "sigterm", "sighup", "sigint"],
)
def test_exits_with_its_children(
    start: Start, script: Script, project: Path, stop: Callable[[Client], None], code: int
) -> None:
    client = sleeping_turn(start, script, project)
    stop(client)
    assert client.wait_exit() < LIMIT + SLACK
    assert client.process.returncode == code
    assert eventually(lambda: not sleeping(), 0.5)
    assert client.noise == []


def test_a_closed_stdout_ends_it_while_stdin_stays_open(
    environment: dict[str, str], script: Script, project: Path
) -> None:
    command = f"{SLEEP} & echo $! > child; wait"
    call = {"tool": "run_command", "arguments": {"command": command}}
    environment["PUNIE_MODEL"] = script({"calls": [call]})
    environment["PUNIE_MODE"] = "auto"
    reader, writer = os.pipe()
    with Client(environment, stdout=writer) as client:
        os.close(writer)
        lines = os.fdopen(reader, "rb")
        client.call("initialize", {"protocolVersion": 1})
        assert b'"result"' in lines.readline()
        client.call("session/new", {"cwd": str(project), "mcpServers": []})
        session = json.loads(lines.readline())["result"]["sessionId"]
        client.begin_prompt(session)
        child = project / "child"
        assert eventually(lambda: child.exists() and bool(child.read_text().strip()), 30)
        lines.close()
        assert client.wait_exit() < LIMIT + SLACK
        assert eventually(lambda: not sleeping(), 0.5)


@pytest.mark.parametrize("end", ["eof", "sigterm"])
def test_a_client_that_stopped_reading_cannot_hold_it(
    environment: dict[str, str], script: Script, project: Path, end: str
) -> None:
    environment["PUNIE_MODEL"] = script({"text": numbers(4_000_000), "chunks": 400})
    reader, writer = os.pipe()
    with Client(environment, stdout=writer) as client:
        os.close(writer)
        client.call("initialize", {"protocolVersion": 1})
        client.call("session/new", {"cwd": str(project), "mcpServers": []})
        data = b""
        while data.count(b"\n") < 2:
            data += os.read(reader, 65536)
        session = data.split(b'"sessionId":"')[1].split(b'"')[0].decode()
        client.begin_prompt(session)
        # From here on nothing is read; the pipe fills up.
        assert eventually(lambda: _unread(reader) > 50_000, 30)
        time.sleep(0.3)
        if end == "eof":
            client.close_stdin()
        else:
            client.process.send_signal(signal.SIGTERM)
        assert client.wait_exit() < LIMIT + SLACK
        os.close(reader)


def _unread(fd: int) -> int:
    count = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, count)
    return count[0]


def test_exits_when_its_parent_dies(
    environment: dict[str, str], script: Script, project: Path, tmp_path: Path
) -> None:
    command = f"{SLEEP} & echo $! > child; wait"
    call = {"tool": "run_command", "arguments": {"command": command}}
    environment["PUNIE_MODEL"] = script({"calls": [call]})
    environment["PUNIE_MODE"] = "auto"
    # The parent is killed while other processes still hold both ends of the pipes.
    parent = tmp_path / "parent.py"
    parent.write_text(
        textwrap.dedent(
            """
            import os, subprocess, sys, time
            agent = subprocess.Popen([sys.argv[1], "acp"], stdin=0, stdout=1)
            with open(sys.argv[2], "w") as file:
                file.write(str(agent.pid))
            time.sleep(600)
            """
        )
    )
    pid_file = tmp_path / "agent-pid"
    with Client(
        environment, command=[sys.executable, str(parent)], arguments=[str(COMMAND), str(pid_file)]
    ) as client:
        client.initialize()
        client.begin_prompt(client.new_session(project))
        child = project / "child"
        assert eventually(lambda: child.exists() and bool(child.read_text().strip()), 30)
        agent = int(pid_file.read_text())
        client.process.kill()
        assert eventually(lambda: not process_exists(agent), LIMIT + SLACK)
        assert eventually(lambda: not sleeping(), 0.5)


def test_it_survives_the_end_of_the_thread_that_started_it(environment: dict[str, str]) -> None:
    # An IDE starts agents from a pool whose threads come and go.
    clients: list[Client] = []
    thread = threading.Thread(target=lambda: clients.append(Client(environment)))
    thread.start()
    thread.join()
    with clients[0] as client:
        client.initialize()
        time.sleep(0.6)
        assert client.initialize()["protocolVersion"] == 1


def test_what_was_asked_before_the_end_of_stdin_is_answered(environment: dict[str, str]) -> None:
    line = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":1}}'
    done = subprocess.run(
        [COMMAND, "acp"], input=line, env=environment, capture_output=True, timeout=30, check=False
    )
    assert done.returncode == 0
    assert b'"protocolVersion":1' in done.stdout
    assert done.stderr == b""


def test_stdin_may_be_a_file(environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(
        b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":1}}\n'
    )
    with path.open("rb") as file:
        done = subprocess.run(
            [COMMAND, "acp"],
            stdin=file,
            env=environment,
            capture_output=True,
            timeout=30,
            check=False,
        )
    assert b'"protocolVersion":1' in done.stdout


def test_prints_and_children_never_reach_the_protocol(
    environment: dict[str, str], tmp_path: Path
) -> None:
    # Another start of the same program, with a print and a child that inherits all it can.
    program = tmp_path / "noisy.py"
    program.write_text(
        textwrap.dedent(
            """
            import os, subprocess, sys, threading
            from punie.acp import agent, serve
            from punie.settings import load_settings

            def noise():
                print("printed")
                os.write(1, b"written\\n")
                subprocess.run(["sh", "-c", "echo echoed; cat"], close_fds=False)

            original = agent.PunieAgent.on_connect
            def on_connect(self, client):
                noise()
                original(self, client)
            agent.PunieAgent.on_connect = on_connect
            serve.serve(load_settings())
            """
        )
    )
    with Client(environment, command=[sys.executable, str(program)], arguments=[]) as client:
        client.initialize()
        client.close_stdin()
        client.wait_exit()
        assert client.noise == []
        for word in ("printed", "written", "echoed"):
            assert word in client.stderr


def test_stderr_stays_quiet(start: Start, script: Script, project: Path) -> None:
    client = start(script({"text": "Hello."}))
    client.initialize()
    client.write(b"nonsense\n")
    client.notify("no/such", {})
    session = client.new_session(project)
    assert client.prompt(session) == "end_turn"
    client.close_stdin()
    client.wait_exit()
    assert client.stderr == ""


def permission_left_open(request: Json) -> None:
    """Never answer."""


def test_exits_while_a_permission_question_is_open(
    start: Start, script: Script, project: Path
) -> None:
    call = {"tool": "write_file", "arguments": {"path": "new.txt", "content": "x"}}
    client = start(script({"calls": [call]}), answer=permission_left_open)
    client.initialize()
    client.begin_prompt(client.new_session(project))
    client.wait_for(lambda message: message.get("method") == "session/request_permission")
    client.close_stdin()
    assert client.wait_exit() < LIMIT + SLACK
    assert not (project / "new.txt").exists()
