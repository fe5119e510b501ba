"""What breaks agents that trust the SDK: each row of its robustness table is a test somewhere.

| input or event | tested in |
| --- | --- |
| a line that is no JSON | tests/e2e/test_wire.py, test_fuzz.py |
| a batch, a number, any other line that is no object | tests/e2e/test_wire.py |
| an unknown request, also with `_` | tests/e2e/test_wire.py, test_extensions.py |
| an unknown notification | tests/e2e/test_wire.py, test_extensions.py |
| `$/cancel_request` | test_cancel.py |
| missing or invalid parameters | tests/e2e/test_wire.py, and the file of each method |
| any other exception in a handler | here |
| a prompt of 60 MB | here |
| an outgoing message of 40 MB | here |
| stdin is a file | tests/e2e/test_lifecycle.py |
| stdout is a file | here |
| the end of stdin, SIGTERM, with children | tests/e2e/test_lifecycle.py |
| SIGKILL, with children | here |
| stdout closed by the client | tests/e2e/test_lifecycle.py |
| a client that stopped reading | tests/e2e/test_lifecycle.py |
| `initialize` with version 65535 | test_initialize.py |
| ids of all types, CRLF, empty lines, extra keys | tests/e2e/test_wire.py, test_extensions.py |
| prints and children that inherit stdout | tests/e2e/test_lifecycle.py |
| what is logged stays off stderr | tests/e2e/test_lifecycle.py |
| content blocks of unknown types | test_prompt.py |
| unknown MCP servers | test_new.py |
| `_meta` keys named like parameters | tests/e2e/test_wire.py |
| an update before the answer to `session/new` | tests/e2e/exchange.py, with every test |
"""

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.e2e.client import COMMAND, Client, Refused, eventually
from tests.e2e.conformance.conftest import Stage
from tests.e2e.conftest import Script, Start
from tests.processes import SLEEP, sleeping
from tests.texts import numbers

LARGEST = 33_554_432


def test_an_exception_in_a_handler_tells_nothing_of_itself(
    environment: dict[str, str], project: Path, tmp_path: Path
) -> None:
    program = tmp_path / "faulty.py"
    program.write_text(
        textwrap.dedent(
            """
            from punie.acp import agent, serve
            from punie.settings import load_settings

            def fail(*args, **kwargs):
                raise ValueError("token=hunter2 in /home/someone")

            agent.SessionOpener.new = fail
            agent.user_message = fail
            agent.list_page = fail
            serve.serve(load_settings())
            """
        )
    )
    with Client(environment, command=[sys.executable, str(program)], arguments=[]) as client:
        client.initialize()
        for method, params in (
            ("session/new", {"cwd": str(project), "mcpServers": []}),
            ("session/list", {}),
        ):
            with pytest.raises(Refused, match="punie logs") as refused:
                client.request(method, params)
            assert refused.value.code == -32603
        assert client.initialize()["protocolVersion"] == 1
        client.close_stdin()
        client.wait_exit()
    assert "hunter2" not in str(client.messages) + client.stderr


def test_a_prompt_of_60_megabytes(stage: Stage) -> None:
    session = stage.session({"text": "Fine."}, repeat=True)
    client = stage.client
    text = "a long line of text\n" * 3_000_000
    params = {"sessionId": session, "prompt": [{"type": "text", "text": text}]}
    assert client.request("session/prompt", params)["stopReason"] == "end_turn"
    assert client.prompt(session) == "end_turn"
    assert max(len(json.dumps(message)) for message in client.messages) < LARGEST


def test_an_answer_of_40_megabytes(stage: Stage) -> None:
    session = stage.session({"text": numbers(40_000_000), "chunks": 1}, {"text": "Next."})
    client = stage.client
    assert client.prompt(session) == "end_turn"
    assert max(len(json.dumps(message)) for message in client.messages) < LARGEST
    assert len(client.text(session)) > 5_000_000
    assert client.prompt(session) == "end_turn"


def test_a_result_of_40_megabytes_in_the_replay(stage: Stage) -> None:
    project = stage.project({"text": numbers(40_000_000), "chunks": 40}, {"text": "Next."})
    client = stage.client
    session = client.new_session(project)
    client.prompt(session)
    before = len(client.messages)
    stage.open("session/load", session, project)
    sizes = [len(json.dumps(message)) for message in client.messages[before:]]
    assert max(sizes) < LARGEST


def test_stdout_may_be_a_file(environment: dict[str, str], tmp_path: Path) -> None:
    line = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":1}}\n'
    path = tmp_path / "output"
    with path.open("wb") as file:
        agent = subprocess.Popen(
            [COMMAND, "acp"], stdin=subprocess.PIPE, stdout=file, env=environment
        )
    assert agent.stdin is not None
    agent.stdin.write(line)
    agent.stdin.flush()
    assert eventually(lambda: path.read_bytes().endswith(b"\n"), 60)
    agent.stdin.close()
    assert agent.wait(30) == 0
    assert json.loads(path.read_bytes())["result"]["protocolVersion"] == 1


def test_a_killed_agent_leaves_no_command_behind(
    start: Start, script: Script, project: Path
) -> None:
    command = f"{SLEEP} & echo it runs; wait"
    call = {"tool": "run_command", "arguments": {"command": command}}
    client = start(script({"calls": [call]}), environment={"PUNIE_MODE": "auto"})
    client.initialize()
    session = client.new_session(project)
    client.begin_prompt(session)
    client.wait_update(session, lambda update: "it runs\\n" in str(update.get("content")))
    assert sleeping()
    client.process.send_signal(signal.SIGKILL)
    assert eventually(lambda: not sleeping(), 2)
