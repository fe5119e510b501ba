"""`punie serve --hosts`: one server whose model runs on two machines, which are both this one."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import processes_of
from tests.server.conftest import RunningServer, StartServer, wait_ready

HERE = {"ssh": "127.0.0.1", "ips": ["127.0.0.1"]}


@pytest.fixture
def shared(start_server: StartServer, tmp_path: Path) -> RunningServer:
    hosts = tmp_path / "hosts.json"
    hosts.write_text(json.dumps([HERE, HERE]))
    return wait_ready(start_server("--hosts", str(hosts)))


def followers(server: RunningServer) -> list[int]:
    return processes_of(f"leader={server.process.pid}")


def wait(until: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_turn_on_two_machines_and_one_of_them_dies(shared: RunningServer, project: Path) -> None:
    (follower,) = followers(shared)
    (project / "notes.txt").write_text("The meeting is on Friday.\n")
    with shared.connect() as client:
        session = client.open_session(project)
        assert client.prompt(session, "Read the file notes.txt") == "end_turn"
        assert "notes.txt` has 1 line." in client.text(session)
        # The next pass waits for the other machine, which then dies.
        os.kill(follower, signal.SIGSTOP)
        running = client.begin_prompt(session, "Hello")
        time.sleep(0.5)
        os.kill(follower, signal.SIGKILL)
        assert client.answer_to(running)["result"]["stopReason"] == "end_turn"
        sentence = "127.0.0.1 has left the machines that share the model; start the server again."
        assert sentence in client.text(session)
    assert shared.process.wait(20) == 1
    assert shared.process.stderr is not None
    assert sentence in shared.process.stderr.read()


def test_no_machine_outlives_the_server(shared: RunningServer) -> None:
    assert len(followers(shared)) == 1
    shared.process.kill()
    shared.process.wait(20)
    wait(lambda: not followers(shared))


def test_it_stops_in_order_also_when_a_machine_hangs(shared: RunningServer, project: Path) -> None:
    (follower,) = followers(shared)
    with shared.connect() as client:
        session = client.open_session(project)
        assert client.prompt(session, "Hello") == "end_turn"
        os.kill(follower, signal.SIGSTOP)
        try:
            running = client.begin_prompt(session, "Hello")
            time.sleep(0.3)
            client.notify("session/cancel", {"sessionId": session})
            assert client.answer_to(running)["result"]["stopReason"] == "cancelled"
            assert shared.stop() == 0
        finally:
            os.kill(follower, signal.SIGCONT)
    wait(lambda: not followers(shared))


def test_what_cannot_be_shared_is_one_sentence(tmp_path: Path, start_server: StartServer) -> None:
    hosts = tmp_path / "hosts.json"
    hosts.write_text(json.dumps([HERE]))
    server = start_server("--hosts", str(hosts))
    assert server.process.wait(20) == 1
    assert server.process.stderr is not None
    said = server.process.stderr.read()
    assert said == f"punie: {hosts} must list two machines or more, this one first.\n"
