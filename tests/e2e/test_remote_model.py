"""The agent on a model that a server has: the same turns, over real pipes and a real connection."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from punie.models.catalog import bundled_directory
from tests.e2e.conftest import Start
from tests.openai_server import Answer, OpenAIServer, calls, says, serve_openai

KEY = "sk-of-this-test-only"


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    served = OpenAIServer(
        key=KEY, models=[{"id": "org/coder", "max_model_len": 40_960}, {"id": "org/other"}]
    )
    with serve_openai(served):
        yield served


def test_a_turn_with_a_tool_and_then_trouble(
    start: Start, server: OpenAIServer, environment: dict[str, str], project: Path
) -> None:
    thought = Answer([{"reasoning": "Look first."}], finish="tool_calls")
    call = calls("read_file", '{"path": ', '"app.py"}')
    thought.deltas = [*thought.deltas, *call.deltas]
    server.answers = [thought, says("It ", "greets.")]
    variables = {
        "PUNIE_OPENAI_URL": server.url,
        "PUNIE_OPENAI_KEY": KEY,
        "PUNIE_LOG_LEVEL": "DEBUG",
    }
    client = start("openai:org/coder", environment=variables)
    client.initialize()
    result = client.request("session/new", {"cwd": str(project), "mcpServers": []})
    session = result["sessionId"]
    offered = {option["value"]: option for option in result["configOptions"][1]["options"]}
    assert offered["openai:org/other"]["name"] == "other"
    assert client.prompt(session, "what does app.py do?") == "end_turn"
    assert client.text(session) == "It greets."
    thoughts = client.updates(session, "agent_thought_chunk")
    assert "".join(each["content"]["text"] for each in thoughts).endswith("Look first.")
    (made,) = client.calls(session).values()
    assert made["status"] == "completed"
    usage = client.updates(session, "usage_update")[-1]
    assert (usage["used"], usage["size"]) == (25, 40_960)
    asked = server.requests[1]["messages"]
    assert [message["role"] for message in asked] == ["system", "user", "assistant", "tool"]
    assert "def greet(name)" in asked[-1]["content"]
    assert len(server.requests[0]["tools"]) > 10

    server.answers = [says("half of", finish=None)]
    assert client.prompt(session, "and now?") == "end_turn"
    assert "broke off in the middle of the answer; try again." in client.text(session)
    server.key = "another"
    assert client.prompt(session, "and now?") == "end_turn"
    assert "does not accept the key (401); set PUNIE_OPENAI_KEY" in client.text(session)
    server.key = KEY
    server.answers = [Answer(endless=True)]
    running = client.begin_prompt(session, "go on for ever")
    client.wait_update(session, lambda update: "on and on" in str(update.get("content")))
    client.notify("session/cancel", {"sessionId": session})
    assert client.result(running)["stopReason"] == "cancelled"
    assert server.gone.wait(10)

    client.close_stdin()
    client.wait_exit()
    state = Path(environment["PUNIE_STATE_DIR"])
    kept = b"".join(path.read_bytes() for path in state.rglob("*") if path.is_file())
    assert b"org/coder" in kept
    assert KEY.encode() not in kept + client.stderr.encode()


@pytest.fixture(scope="module")
def mlx_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real `mlx_lm.server` with the bundled model; yields its base URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("mlx")
    (folder / "hub").mkdir()
    address = ["--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlx_lm", "server", "--model", bundled_directory(), *address],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(folder / "hub")},
        )
    try:
        _wait_until_healthy(process, port)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait(10)


def _wait_until_healthy(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError, urllib.error.URLError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
            return
        time.sleep(0.1)
    raise AssertionError("mlx_lm.server does not come up")


def test_the_bundled_model_behind_a_real_server(
    start: Start, mlx_server: str, project: Path
) -> None:
    (project / "notes.txt").write_text("The meeting is on Friday.\n")
    variables = {
        "PUNIE_OPENAI_URL": mlx_server,
        "PUNIE_OPENAI_CONTEXT": "2048",
        "PUNIE_TEMPERATURE": "0",
    }
    client = start(f"openai:{bundled_directory()}", environment=variables)
    client.initialize()
    session = client.new_session(project)
    assert client.prompt(session, "Hello") == "end_turn"
    assert "Ask me to read" in client.text(session)
    assert client.prompt(session, "Read the file notes.txt") == "end_turn"
    (made,) = client.calls(session).values()
    assert (made["kind"], made["status"]) == ("read", "completed")
    assert "notes.txt` has 1 line." in client.text(session)
    usage = client.updates(session, "usage_update")[-1]
    assert 20 < usage["used"] < usage["size"] == 2_048
