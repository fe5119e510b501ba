"""`punie acp --shared`: an IDE that talks to the server sees what it would see without one."""

import contextlib
import json
import os
import random
import re
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from punie import __version__
from punie.client.ledger import TURN_LOST
from punie.server.record import (
    ServerRecord,
    is_locked,
    process_start,
    read_record,
    server_lock,
    write_record,
)
from tests.e2e.client import (
    COMMAND,
    Client,
    Json,
    Refused,
    allow,
    eventually,
    kill_server,
    merged_calls,
    messages_of,
    process_exists,
)
from tests.e2e.conftest import Script, Start
from tests.e2e.ide import FILES, Ide

SHARED = ("acp", "--shared")
READ = {"tool": "read_file", "arguments": {"path": "app.py"}}
EDIT = {
    "tool": "edit_file",
    "arguments": {"path": "app.py", "edits": [{"old_text": "Hello", "new_text": "Servus"}]},
}
WAIT = {"tool": "run_command", "arguments": {"command": "sleep 30"}}


@pytest.fixture
def state(environment: dict[str, str]) -> Path:
    """The state folder of a test; its servers end with the clients."""
    return Path(environment["PUNIE_STATE_DIR"])


def server_pid(state: Path) -> int:
    record = read_record(state)
    assert record is not None
    return record.pid


def is_open(call: Json) -> bool:
    return call["sessionUpdate"].startswith("tool_call") and call.get("status") == "in_progress"


ID = re.compile(r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]+(Z|\+00:00)?")


def without_ids_and_times(messages: list[Json], project: Path) -> list[str]:
    """Return the messages as texts; how often an editor is looked at depends on time as well."""
    names: dict[str, str] = {}

    def name(found: re.Match[str]) -> str:
        return names.setdefault(found[0], f"id-{len(names)}")

    texts = []
    for each in messages:
        if each.get("method") == "fs/read_text_file":
            continue
        unnumbered = {**each, "id": "a number"} if "method" in each and "id" in each else each
        text = TIME.sub("then", ID.sub(name, json.dumps(unnumbered)))
        texts.append(text.replace(str(project), "/project"))
    return texts


def walk(client: Client, project: Path) -> list[str]:
    """Say everything an IDE says in a working day; return all that it heard."""
    client.initialize(clientCapabilities=FILES)
    ide = Ide(client)
    ide.buffers[str(project / "app.py")] = "greeting = 'Hello'\n"
    session = client.new_session(project)
    assert client.prompt(session, "read and edit") == "end_turn"
    client.request("session/set_mode", {"sessionId": session, "modeId": "accept_edits"})
    heard = len(client.messages)
    running = client.begin_prompt(session, "wait")
    client.wait_for(
        lambda message: (
            "update" in message.get("params", {}) and is_open(message["params"]["update"])
        ),
        after=heard,
    )
    client.notify("session/cancel", {"sessionId": session})
    assert client.result(running)["stopReason"] == "cancelled"
    opening = {"sessionId": session, "cwd": str(project), "mcpServers": []}
    for method in ("session/load", "session/resume", "session/fork"):
        client.request(method, opening)
    client.request("session/list", {"cwd": str(project)})
    for method, params in (("session/nothing", {}), ("session/prompt", {"sessionId": "none"})):
        with pytest.raises(Refused):
            client.request(method, params)
    for line in (b'{"jsonrpc":"2.0","id":"\xff"}', b"[]"):
        heard = len(client.messages)
        client.write(line + b"\n")
        client.wait_for(lambda message: "error" in message, after=heard)
    client.request("session/close", {"sessionId": session})
    client.request("session/delete", {"sessionId": session})
    return without_ids_and_times(client.messages, project)


def test_every_message_is_the_same_as_in_process(
    start: Start, script: Script, project: Path, state: Path
) -> None:
    source = (project / "app.py").read_text()
    model = script(
        {"thought": "Hm.", "text": "I read.", "calls": [READ, EDIT]},
        {"text": "Done."},
        {"text": "Now I wait.", "calls": [WAIT]},
    )
    heard = []
    for arguments in (("acp",), SHARED):
        (project / "app.py").write_text(source)
        with start(model, arguments=arguments, sound=False) as client:
            heard.append(walk(client, project))
            client.close_stdin()
            client.wait_exit()
            client.wait_read()
            assert (client.process.returncode, client.stderr) == (0, "")
        (state / "sessions.sqlite3").unlink()
        kill_server(state)
    alone, shared = heard
    assert shared == alone


def test_a_server_that_is_killed_in_a_turn_comes_back_with_everything(
    start: Start, script: Script, project: Path, state: Path
) -> None:
    model = script(
        {"text": "I wait.", "calls": [WAIT]}, {"text": "All is well."}, {"text": "Still."}
    )
    client = start(model, arguments=SHARED, environment={"PUNIE_MODE": "auto"})
    client.initialize()
    session = client.new_session(project, additionalDirectories=[str(state)])
    other = client.new_session(project)
    client.request("session/set_mode", {"sessionId": other, "modeId": "plan"})
    running = client.begin_prompt(session, "first")
    client.wait_update(session, is_open)
    first = kill_server(state)
    assert client.result(running) == {"stopReason": "cancelled"}
    (call,) = client.calls(session).values()
    assert call["status"] == "failed"
    assert client.text(session).endswith(TURN_LOST)

    assert client.prompt(session, "second") == "end_turn"
    assert client.text(session).endswith("All is well.")
    assert server_pid(state) != first
    heard = len(client.messages)
    loading = {"sessionId": session, "cwd": str(project), "mcpServers": []}
    client.request("session/load", loading)
    shown = json.dumps(client.messages[heard:])
    for text in ("first", "I wait.", "second", "All is well."):
        assert text in shown
    # The mode that was chosen before is still that of the other session.
    found = client.request(
        "session/set_config_option", {"sessionId": other, "configId": "mode", "value": "plan"}
    )
    mode = next(each for each in found["configOptions"] if each["id"] == "mode")
    assert mode["currentValue"] == "plan"


@pytest.mark.slow
def test_servers_that_are_killed_again_and_again_lose_nothing(
    start: Start, script: Script, project: Path, state: Path
) -> None:
    command = {"tool": "run_command", "arguments": {"command": "echo one; sleep 0.05; echo two"}}
    model = script(
        {"text": "First I look. " * 5, "delay": 0.01, "calls": [READ]},
        {"text": "Then I run. " * 20, "delay": 0.01, "chunks": 10, "calls": [command]},
        {"text": "That was it. " * 20, "delay": 0.01, "chunks": 10},
        repeat=True,
    )
    chance = random.Random(6)
    client = start(model, arguments=SHARED, environment={"PUNIE_MODE": "auto"})
    client.initialize()
    session = client.new_session(project)
    for number in range(6):
        running = client.begin_prompt(session, f"round {number}")
        time.sleep(chance.uniform(0.0, 0.8))
        kill_server(state)
        assert client.result(running)["stopReason"] in ("cancelled", "end_turn")
    shown = client.updates(session)
    heard = len(client.messages)
    opening = {"sessionId": session, "cwd": str(project), "mcpServers": []}
    client.request("session/load", opening)
    stored = [
        message["params"]["update"]
        for message in client.messages[heard:]
        if message.get("method") == "session/update"
    ]
    texts = {(kind, key): text for kind, key, text in messages_of(stored)}
    for kind, key, text in messages_of(shown):
        if TURN_LOST not in text:
            assert texts[kind, key].startswith(text)
    calls = merged_calls(stored)
    for call_id, call in merged_calls(shown).items():
        assert call["status"] in ("completed", "failed")
        assert calls[call_id]["status"] in ("completed", "failed")
    assert client.prompt(session) == "end_turn"


def test_a_question_is_withdrawn_when_its_server_dies(
    start: Start, script: Script, project: Path, state: Path
) -> None:
    model = script({"calls": [EDIT]}, {"calls": [EDIT]}, {"text": "Done."})
    questions: list[Json] = []

    def later(request: Json) -> Json | None:
        questions.append(request)
        return None if len(questions) == 1 else allow(request)

    client = start(model, arguments=SHARED, answer=later)
    client.initialize()
    session = client.new_session(project)
    running = client.begin_prompt(session)
    assert eventually(lambda: bool(questions), 20)
    kill_server(state)
    assert client.result(running) == {"stopReason": "cancelled"}
    withdrawn = client.wait_for(lambda message: message.get("method") == "$/cancel_request")
    assert withdrawn["params"] == {"requestId": questions[0]["id"]}
    # An answer that comes all the same is not taken for one to the next question.
    client.send({"jsonrpc": "2.0", "id": questions[0]["id"], "result": allow(questions[0])})
    assert client.prompt(session) == "end_turn"
    assert questions[1]["id"] != questions[0]["id"]
    assert "Servus" in (project / "app.py").read_text()


def test_a_server_that_was_stopped_starts_again_when_it_is_needed(
    start: Start, script: Script, project: Path, state: Path
) -> None:
    model = script({"calls": [WAIT]}, {"text": "Here again."})
    client = start(model, arguments=SHARED, environment={"PUNIE_MODE": "auto"})
    client.initialize()
    session = client.new_session(project)
    running = client.begin_prompt(session)
    client.wait_update(session, is_open)
    done = subprocess.run([COMMAND, "stop", "--state-dir", state], capture_output=True, check=True)
    assert b"has stopped" in done.stdout
    assert client.result(running) == {"stopReason": "cancelled"}
    time.sleep(0.3)
    assert not is_locked(state)
    assert client.prompt(session) == "end_turn"
    assert client.text(session) == "Here again."


def test_what_was_asked_is_answered_after_the_end_of_the_input(
    start: Start, script: Script, project: Path, state: Path
) -> None:
    client = start(script({"calls": [WAIT]}), arguments=SHARED, environment={"PUNIE_MODE": "auto"})
    shake = client.call("initialize", {"protocolVersion": 1, "clientCapabilities": {}})
    new = client.call("session/new", {"cwd": str(project), "mcpServers": []})
    client.close_stdin()
    client.wait_exit(20)
    assert client.process.returncode == 0
    client.wait_read()
    assert client.result(shake)["agentInfo"]["version"] == __version__
    assert client.result(new)["sessionId"]

    client = start(script({"calls": [WAIT]}), arguments=SHARED, environment={"PUNIE_MODE": "auto"})
    client.initialize()
    session = client.new_session(project)
    running = client.begin_prompt(session)
    client.wait_update(session, is_open)
    client.close_stdin()
    assert client.wait_exit() < 3
    client.wait_read()
    assert client.result(running) == {"stopReason": "cancelled"}
    (call,) = client.calls(session).values()
    assert call["status"] == "failed"
    # The server stays, for others.
    assert process_exists(server_pid(state))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_bridge_and_the_turn(
    start: Start, script: Script, project: Path, state: Path, number: signal.Signals
) -> None:
    client = start(script({"calls": [WAIT]}), arguments=SHARED, environment={"PUNIE_MODE": "auto"})
    client.initialize()
    session = client.new_session(project)
    client.begin_prompt(session)
    client.wait_update(session, is_open)
    client.process.send_signal(number)
    assert client.wait_exit() < 2
    assert client.process.returncode == 128 + number


def test_two_that_start_together_share_one_server_and_nothing_else(
    start: Start, script: Script, project: Path, state: Path
) -> None:
    models = [script({"text": text}, name=f"{text}.json") for text in ("one", "two")]
    clients = [
        start(model, arguments=SHARED, environment={"PUNIE_MODE": mode})
        for model, mode in zip(models, ("auto", "plan"), strict=True)
    ]
    opening = [each.call("initialize", {"protocolVersion": 1}) for each in clients]
    for each, request in zip(clients, opening, strict=True):
        each.result(request)
    modes = []
    for each, text in zip(clients, ("one", "two"), strict=True):
        found = each.request("session/new", {"cwd": str(project), "mcpServers": []})
        modes.append(found["modes"]["currentModeId"])
        assert each.prompt(found["sessionId"]) == "end_turn"
        assert each.text(found["sessionId"]) == text
    assert modes == ["auto", "plan"]
    assert len({server_pid(state)}) == 1
    assert (state / "server" / "output").read_text().count("serving at") == 1


def test_large_and_odd_messages_pass(start: Start, project: Path, state: Path) -> None:
    client = start(arguments=SHARED, sound=False)
    client.initialize()
    text = "ä€😀" * 3_700_000  # 33 MB
    body = json.dumps({"cwd": str(project), "_meta": {"text": text}}, ensure_ascii=False)
    client.write(
        b'{"jsonrpc":"2.0","id":"large","method":"session/list","params":' + body.encode() + b"}\n"
    )
    assert client.result("large") == {"sessions": []}
    client.write(b'{"jsonrpc":"2.0","method":"x","params":{"t":"' + b"x" * (64 << 20) + b'"}}\n')
    refused = client.wait_for(lambda message: "error" in message)
    assert refused["error"]["message"] == "The message is too large."
    assert client.request("session/list", {"cwd": str(project)}) == {"sessions": []}


@contextlib.contextmanager
def pretended(state: Path, **values: str) -> Iterator[ServerRecord]:
    """Hold the lock as a server of that record would."""
    with socket.create_server(("127.0.0.1", 0)) as listener, server_lock(state):
        record = ServerRecord(
            os.getpid(),
            process_start(os.getpid()) or "",
            f"http://127.0.0.1:{listener.getsockname()[1]}",
            values.get("version", __version__),
        )
        write_record(state, record, "t" * 20)
        yield record


def no_server(client: Client) -> str:
    """Return the sentence that the client hears and that stands on stderr."""
    with pytest.raises(Refused) as refused:
        client.request("initialize", {"protocolVersion": 1})
    client.wait_exit()
    assert client.process.returncode == 1
    assert client.stderr == f"punie: {refused.value.message}\n"
    return refused.value.message


def test_a_server_of_another_version_is_told(start: Start, state: Path) -> None:
    with pretended(state, version="0.0.9"):
        sentence = no_server(start(arguments=SHARED))
    assert sentence == (
        f"The server that runs is Punie 0.0.9, this is {__version__}; "
        "`punie stop` ends it, and the next client starts the right one."
    )


def test_a_folder_that_cannot_be_used_is_told(start: Start, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    client = start(
        arguments=SHARED,
        environment={"PUNIE_STATE_DIR": str(tmp_path / "file")},
    )
    assert no_server(client).startswith("The server cannot be started (not a directory: ")


def test_the_setting_chooses_and_a_flag_goes_before_it(start: Start, state: Path) -> None:
    shared = {"PUNIE_ENGINE": "shared"}
    start(arguments=("acp", "--in-process"), environment=shared).initialize()
    assert not is_locked(state)
    start(arguments=("acp",), environment=shared).initialize()
    assert is_locked(state)


def test_a_server_with_other_settings_refuses_and_says_why(
    start: Start, state: Path, tmp_path: Path
) -> None:
    start(arguments=SHARED).initialize()
    elsewhere = str(tmp_path / "elsewhere")
    sentence = no_server(start(arguments=SHARED, environment={"PUNIE_CONFIG_DIR": elsewhere}))
    assert sentence == (
        f"The server that runs has its settings in {tmp_path / 'config'}, this client in "
        f"{elsewhere}; use the same folder, another state_dir or `--in-process`."
    )


def test_a_client_that_does_not_read_cannot_hold_the_bridge(
    start: Start, script: Script, project: Path, state: Path
) -> None:
    reader, writer = os.pipe()
    model = script({"text": "word " * 1_000_000, "chunks": 100})
    client = start(model, arguments=SHARED, stdout=writer)
    os.close(writer)
    client.call("initialize", {"protocolVersion": 1})
    client.call("session/new", {"cwd": str(project), "mcpServers": []})
    data = b""
    while data.count(b"\n") < 2:
        data += os.read(reader, 65_536)
    client.begin_prompt(data.split(b'"sessionId":"')[1].split(b'"')[0].decode())
    readable = select.poll()
    readable.register(reader, select.POLLIN)
    assert readable.poll(30_000)
    client.close_stdin()
    assert client.wait_exit() < 5
    assert client.process.returncode == 0
    os.close(reader)
