"""How a server starts and ends: each trouble is one sentence, and nothing is lost."""

import asyncio
import json
import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest
from websockets.sync.client import connect

from punie.server.record import is_locked, read_record, server_folder
from punie.server.run import ServeOptions, _listening
from tests.server.conftest import COMMAND, TIMEOUT, RunningServer, StartServer, wait_ready

SLOW = {"text": "One word after the other. " * 40, "delay": 0.05, "chunks": 200}


def script(folder: Path, *responses: object) -> str:
    path = folder / "script.json"
    path.write_text(json.dumps({"responses": responses, "repeat": True}))
    return f"scripted:{path}"


def refusal(server: RunningServer) -> str:
    _, said = server.process.communicate(timeout=TIMEOUT)
    assert server.process.returncode == 1
    assert said.startswith("punie: ")
    assert said.count("\n") == 1
    return said


def test_one_server_for_a_state_folder(start_server: StartServer) -> None:
    first = wait_ready(start_server())
    said = refusal(start_server())
    assert first.record.url in said
    assert f"process {first.process.pid}" in said
    assert first.process.poll() is None


def test_of_many_that_race_one_serves(start_server: StartServer) -> None:
    servers = [start_server() for _ in range(4)]
    wait_ready_any(servers)
    deadline = time.monotonic() + TIMEOUT
    while sum(server.process.poll() is None for server in servers) > 1:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    ended = [server for server in servers if server.process.poll() is not None]
    assert len(ended) == 3
    assert all("runs already" in refusal(each) or "starting" in refusal(each) for each in ended)


def wait_ready_any(servers: list[RunningServer]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while read_record(servers[0].state_dir) is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_port_in_use(start_server: StartServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refusal(start_server("--port", str(port)))
    assert f"port {port} of 127.0.0.1 cannot be used" in said
    assert "--port" in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--host", "0.0.0.0"), "must be encrypted"),
        (("--host", "0.0.0.0", "--certificate", "c.pem"), "belong together"),
        (("--host", "0.0.0.0", "--certificate", "c.pem", "--key", "k.pem"), "choose a token"),
        (("--certificate", "no.pem", "--key", "no.pem"), "certificate cannot be used"),
        (("--host", "no.such.host.invalid"), "must be encrypted"),
        (("--token-file", "no-such-file"), "cannot be read"),
    ],
)
def test_what_would_not_be_safe_is_not_started(
    start_server: StartServer, arguments: tuple[str, ...], sentence: str
) -> None:
    server = start_server(*arguments)
    assert sentence in refusal(server)
    assert not is_locked(server.state_dir)


def test_a_short_token_is_refused(start_server: StartServer, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("short\n")
    assert "16 characters" in refusal(start_server("--token-file", str(tmp_path / "token")))


def test_it_ends_when_nobody_needs_it(start_server: StartServer) -> None:
    server = wait_ready(start_server("--idle-minutes", "0.02"))
    with server.connect() as client:
        client.request("initialize", {"protocolVersion": 1})
        time.sleep(1.5)
        assert server.process.poll() is None
    assert server.process.wait(TIMEOUT) == 0
    assert not is_locked(server.state_dir)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_stopped_it_ends_turns_as_cancelled(
    start_server: StartServer, tmp_path: Path, project: Path, number: int
) -> None:
    server = wait_ready(start_server(PUNIE_MODEL=script(tmp_path, SLOW)))
    with server.connect() as client:
        session = client.open_session(project)
        prompt = client.begin_prompt(session)
        client.until(lambda each: "agent_message_chunk" in json.dumps(each))
        server.process.send_signal(number)
        assert client.answer_to(prompt)["result"]["stopReason"] == "cancelled"
        said = client.text(session)
    assert server.process.wait(TIMEOUT) == 0
    assert [path.name for path in server_folder(server.state_dir).iterdir()] == ["lock"]
    again = wait_ready(start_server(PUNIE_MODEL=script(tmp_path, SLOW)))
    with again.connect() as client:
        client.request("initialize", {"protocolVersion": 1})
        params = {"sessionId": session, "cwd": str(project), "mcpServers": []}
        client.request("session/load", params)
        assert client.text(session) == said


def test_killed_it_leaves_what_the_next_one_goes_on_with(
    start_server: StartServer, tmp_path: Path, project: Path
) -> None:
    model = script(tmp_path, SLOW)
    server = wait_ready(start_server(PUNIE_MODEL=model))
    client = server.connect()
    sessions = [client.open_session(project), client.open_session(project)]
    for session in sessions:
        client.begin_prompt(session)
    while not all(client.text(session) for session in sessions):
        client.read()
    server.process.kill()
    server.process.wait(TIMEOUT)
    assert read_record(server.state_dir) is None
    again = wait_ready(start_server(PUNIE_MODEL=model))
    with again.connect() as second:
        second.request("initialize", {"protocolVersion": 1})
        for session in sessions:
            params = {"sessionId": session, "cwd": str(project), "mcpServers": []}
            second.request("session/load", params)
            assert second.text(session).startswith(client.text(session))
            assert client.text(session)


def test_another_machine_may_come_over_tls(start_server: StartServer, tmp_path: Path) -> None:
    certificate, key, token = (tmp_path / name for name in ("c.pem", "k.pem", "token"))
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
         "-keyout", key, "-out", certificate],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("openssl makes no certificate here")
    token.write_text("a-token-of-the-users-own\n")
    server = wait_ready(
        start_server(
            "--host", "0.0.0.0", "--certificate", str(certificate), "--key", str(key),
            "--token-file", str(token),
        )
    )  # fmt: skip
    port = server.record.url.rpartition(":")[2]
    assert server.record.url.startswith("https://")
    context = ssl.create_default_context(cafile=certificate)
    headers = {"Authorization": "Bearer a-token-of-the-users-own"}
    with connect(
        f"wss://127.0.0.1:{port}/acp", ssl=context, additional_headers=headers, proxy=None
    ) as client:
        client.send('{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":1}}')
        assert json.loads(client.recv(TIMEOUT))["result"]["protocolVersion"] == 1
    assert server.stop() == 0


def test_the_front_door_lists_it() -> None:
    shown = subprocess.run(
        [COMMAND, "serve", "--help"], capture_output=True, text=True, check=True
    ).stdout
    for option in ("--host", "--port", "--idle-minutes", "--certificate", "--token-file"):
        assert option in shown


@pytest.mark.anyio
async def test_what_is_sent_leaves_at_once() -> None:
    # Otherwise a turn waits for acknowledgements that the other side delays by 40 ms.
    taken: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    with _listening(ServeOptions()) as listener:
        server = await asyncio.start_server(
            lambda _, writer: taken.put_nowait(writer), sock=listener
        )
        _, ours = await asyncio.open_connection(*listener.getsockname())
        theirs = await taken.get()
        connection = theirs.get_extra_info("socket")
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        for writer in (ours, theirs):
            writer.close()
        server.close()
