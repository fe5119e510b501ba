"""What `punie serve` promises to its clients, each test with its own sessions on one server."""

import json
import os
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus

from punie.server.access import LOOPBACK_NAMES
from tests.broken_lines import LINES
from tests.server.conftest import Json, RunningServer

FRAMES = 1_000
FRAMES_AT_ONCE = 50
SLOW = {"text": "One word after the other. " * 40, "delay": 0.05, "chunks": 200}
Use = Callable[..., None]


def chunk_of(session_id: str) -> Callable[[Json], bool]:
    return lambda message: (
        message.get("method") == "session/update"
        and message["params"]["sessionId"] == session_id
        and message["params"]["update"]["sessionUpdate"] == "agent_message_chunk"
    )


def test_two_projects_work_at_the_same_time(
    server: RunningServer, scripted: Use, tmp_path: Path
) -> None:
    read = {"tool": "read_file", "arguments": {"path": "name.txt"}}
    scripted({"calls": [read], "delay": 0.02}, {"text": "Read. " * 30, "delay": 0.01, "chunks": 30})
    sessions = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "name.txt").write_text(f"this is {name}")
        client = server.connect()
        sessions.append((name, client, client.open_session(folder)))
    running = [client.begin_prompt(session) for _, client, session in sessions]
    for (name, client, session), prompt in zip(sessions, running, strict=True):
        assert client.answer_to(prompt)["result"]["stopReason"] == "end_turn"
        told = [each["params"] for each in client.messages if "params" in each]
        assert {each["sessionId"] for each in told} == {session}
        assert f"this is {name}" in json.dumps(told)
        client.close()


def test_a_client_that_goes_ends_its_turn_and_loses_nothing(
    server: RunningServer, scripted: Use, project: Path
) -> None:
    # Told apart by its argument: in its sandbox it has a number of its own.
    sleep = f"60.{os.getpid()}"
    command = {"tool": "run_command", "arguments": {"command": f"sleep {sleep}"}}
    scripted({"text": "Now I wait. " * 5, "calls": [command]}, mode="auto")
    first = server.connect()
    session = first.open_session(project)
    first.begin_prompt(session)
    deadline = time.monotonic() + 20
    while not _runs(sleep):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    first.until(lambda each: f"sleep {sleep}" in json.dumps(each))
    said = first.text(session)
    assert said
    first.socket.socket.close()

    with server.connect() as second:
        second.request("initialize", {"protocolVersion": 1})
        params = {"sessionId": session, "cwd": str(project), "mcpServers": []}
        second.request("session/load", params)
        assert second.text(session) == said
        calls = [
            each["params"]["update"]
            for each in second.messages
            if "toolCallId" in each.get("params", {}).get("update", {})
        ]
        assert calls[-1]["status"] == "failed"
        # What the turn had started is gone too.
        while time.monotonic() < deadline and _runs(sleep):
            time.sleep(0.05)
        assert not _runs(sleep)
        assert second.prompt(session, "and now?") == "end_turn"


def _runs(argument: str) -> bool:
    listed = subprocess.run(["ps", "-A", "-o", "args="], capture_output=True, text=True, check=True)
    return f"sleep {argument}" in listed.stdout.splitlines()


def test_who_opens_a_session_next_takes_it_over(
    server: RunningServer, scripted: Use, project: Path
) -> None:
    scripted(SLOW, {"text": "Second."})
    with server.connect() as first, server.connect() as second:
        session = first.open_session(project)
        prompt = first.begin_prompt(session)
        first.until(chunk_of(session))
        second.request("initialize", {"protocolVersion": 1})
        params = {"sessionId": session, "cwd": str(project), "mcpServers": []}
        second.request("session/load", params)
        assert first.answer_to(prompt)["result"]["stopReason"] == "cancelled"
        # All that the first was told is in what the second got.
        assert second.text(session) == first.text(session)
        assert second.prompt(session) == "end_turn"
        told = len(first.messages)
        answer = first.answer_to(first.begin_prompt(session))
        assert "There is no session" in answer["error"]["message"]
        assert len(first.messages) == told + 1


def test_a_session_is_deleted_under_its_client(
    server: RunningServer, scripted: Use, project: Path
) -> None:
    scripted(SLOW)
    with server.connect() as first, server.connect() as second:
        session = first.open_session(project)
        prompt = first.begin_prompt(session)
        first.until(chunk_of(session))
        second.request("initialize", {"protocolVersion": 1})
        second.request("session/delete", {"sessionId": session})
        assert first.answer_to(prompt)["result"]["stopReason"] == "cancelled"
        listed = second.request("session/list")["sessions"]
        assert session not in [each["sessionId"] for each in listed]


def test_a_thousand_broken_frames_harm_nobody(
    server: RunningServer, scripted: Use, project: Path
) -> None:
    scripted({"text": "Still here."}, repeat=True)
    with server.connect() as good, server.connect() as bad:
        session = good.open_session(project)
        sent = 0
        drained: list[threading.Thread] = []

        def drain() -> None:
            try:
                while True:
                    bad.socket.recv()
            except ConnectionClosed:
                return

        drained.append(threading.Thread(target=drain, daemon=True))
        drained[0].start()

        @settings(
            max_examples=FRAMES // FRAMES_AT_ONCE,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        )
        @given(st.lists(LINES | st.binary(max_size=50), min_size=FRAMES_AT_ONCE,
                        max_size=FRAMES_AT_ONCE))  # fmt: skip
        def feed(frames: list[bytes]) -> None:
            nonlocal sent
            for frame in frames:
                try:
                    bad.socket.send(frame.decode())
                except UnicodeDecodeError:
                    bad.socket.send(frame)
                sent += 1
            assert good.prompt(session) == "end_turn"

        feed()
        assert sent >= FRAMES
        assert good.text(session).count("Still here.") >= FRAMES // FRAMES_AT_ONCE
        with server.connect() as after:
            assert after.request("initialize", {"protocolVersion": 1})["protocolVersion"] == 1


def test_a_frame_that_is_too_large_ends_only_its_connection(
    server: RunningServer, scripted: Use, project: Path
) -> None:
    scripted({"text": "Still here."}, repeat=True)
    with server.connect() as good, server.connect() as bad:
        session = good.open_session(project)
        with pytest.raises(ConnectionClosed) as closed:  # noqa: PT012 - whichever notices first
            # Only what announces the frame: with more on its way, a reset may overtake the reason.
            bad.socket.socket.sendall(
                b"\x81\xff" + struct.pack("!Q", 64 * 1024 * 1024 + 1) + b"mask"
            )
            while True:
                bad.socket.recv(20)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
        assert good.prompt(session) == "end_turn"


@pytest.mark.parametrize(
    ("headers", "status", "sentence"),
    [
        ({"Authorization": "Bearer wrong"}, 401, "The token is not the one of this server"),
        ({"Authorization": ""}, 401, "A token is needed"),
        ({"Origin": "http://evil.example"}, 403, "web pages from elsewhere"),
        ({"Origin": "null"}, 403, "web pages from elsewhere"),
    ],
)
def test_a_connection_is_refused_with_a_sentence(
    server: RunningServer, headers: dict[str, str], status: int, sentence: str
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        server.connect(headers=headers)
    assert refused.value.response.status_code == status
    assert sentence in (refused.value.response.body or b"").decode()


def test_the_own_page_may_connect(server: RunningServer) -> None:
    assert "127.0.0.1" in LOOPBACK_NAMES
    with server.connect(headers={"Origin": f"http://{server.host}"}) as client:
        assert client.request("initialize", {"protocolVersion": 1})["protocolVersion"] == 1


def test_there_is_a_limit_to_the_clients(server: RunningServer) -> None:
    clients = [server.connect() for _ in range(100)]
    try:
        with pytest.raises(InvalidStatus) as refused:
            server.connect()
        assert refused.value.response.status_code == 503
    finally:
        for client in clients:
            client.close()
    deadline = time.monotonic() + 10
    while True:
        try:
            server.connect().close()
        except InvalidStatus:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return
