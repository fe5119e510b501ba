"""`punie bench --against`: the bundled model beside `mlx_lm.server` and beside other servers."""

import json
import shutil
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from punie.models.catalog import bundled_directory
from tests.cli.conftest import Command
from tests.cli.test_bench import started
from tests.openai_server import Answer, OpenAIServer, says, serve_openai
from tests.processes import processes_of

MANY_WORDS = " ".join(f"word number {number}" for number in range(40)).split(" ")


@pytest.fixture
def copy(tmp_path: Path) -> str:
    """The bundled model under a name that no other process has among its arguments."""
    return str(shutil.copytree(bundled_directory(), tmp_path / "copied-model"))


def rows_of(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in found["rows"]}


def test_the_server_with_the_same_weights(punie: Command, copy: str) -> None:
    asked = ("bench", copy, "--against", "mlx-lm", "--only", "memory,decode", "--json")
    done = punie(*asked)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["against"] == {"name": "mlx_lm.server", "url": None, "model": None}
    rows = rows_of(found)
    assert list(rows) == ["answered alike", "memory of the process", "speed of writing"]
    assert rows["answered alike"]["value"] == 100
    assert "of other length" not in rows["answered alike"]["compared"]
    speed = rows["speed of writing"]
    assert (speed["unit"], speed["in"], speed["limit"]) == ("times", "tokens/s", None)
    assert len(speed["ours_runs"]) == len(speed["theirs_runs"]) == 5
    assert speed["value"] == pytest.approx(speed["ours"] / speed["theirs"])
    # Both wrote the same text.
    own, _, other = speed["compared"].partition("after the first of ")[2].split(" ")[:3]
    assert own == other
    assert rows["memory of the process"]["theirs"] > 20
    assert processes_of(copy) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda one: one.name)
def test_the_server_ends_with_us(punie: Command, copy: str, number: signal.Signals) -> None:
    with started(punie, copy, "--against", "mlx-lm", "--only", "decode") as process:
        _wait(lambda: len(processes_of(copy)) == 2 or process.poll() is not None)
        assert len(processes_of(copy)) == 2  # it and us
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors
    if number == signal.SIGTERM:
        assert process.returncode == 130
        assert errors.endswith("punie: stopped.\n")
        assert processes_of(copy) == []
    _wait(lambda: processes_of(copy) == [])
    assert processes_of(copy) == []


class NoTools(OpenAIServer):
    """A server whose model has no tools."""

    def next_answer(self) -> Answer:
        if "tools" in self.requests[-1]:
            return Answer(status=400, body={"error": {"message": "tools are not supported"}})
        return says(*(f"{word} " for word in MANY_WORDS), usage=None)


def test_another_model_elsewhere(punie: Command) -> None:
    with serve_openai(NoTools()) as server:
        only = "decode,memory,start"
        asked = ("bench", "punie-tiny", "--against", f"{server.url}#tiny", "--only", only, "--json")
        done = punie(*asked)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    found = json.loads(done.stdout)
    assert found["against"] == {
        "name": f"the server at {server.url}",
        "url": server.url,
        "model": "tiny",
    }
    rows = rows_of(found)
    assert list(rows) == [
        "start",
        "answered alike, with tools",
        "answered alike",
        "speed of writing",
        "memory",
    ]
    assert "runs already, and is not started again" in rows["start"]["skipped"]
    refused = "refuses a request with tools (400: tools are not supported)"
    assert refused in rows["answered alike, with tools"]["skipped"]
    assert rows["answered alike"]["value"] == 0
    said = "not the same model or template: ratios tell nothing about the engine"
    assert rows["answered alike"]["compared"].endswith(said)
    assert "not known of the server at" in rows["memory"]["skipped"]
    assert rows["speed of writing"]["theirs"] > 0


@pytest.mark.parametrize(
    ("server", "name", "said"),
    [
        (OpenAIServer(key="right"), "tiny", "does not accept the key (401); set PUNIE_OPENAI_KEY"),
        (OpenAIServer(), "other", "has no model other; it has tiny."),
    ],
)
def test_a_server_that_cannot_be_used(
    punie: Command, server: OpenAIServer, name: str, said: str
) -> None:
    with serve_openai(server):
        done = punie("bench", "punie-tiny", "--against", f"{server.url}#{name}")
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert "loading the model" not in done.stderr
    assert "Traceback" not in done.stderr


def test_no_server_at_all(punie: Command) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
        done = punie("bench", "punie-tiny", "--against", address)
    assert (done.returncode, done.stdout) == (1, "")
    cure = "cannot be reached; start it, or correct the address after --against.\n"
    assert done.stderr.endswith(f"The server at {address}/v1 {cure}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--against", "mlx"], "--against should be the address of a server, such as"),
        (["--against", "http://me:secret@127.0.0.1/v1"], "--against should name the server only"),
        (["--against", "mlx-lm", "--only", "grammar"], "there is no 'grammar' here; choose from"),
    ],
)
def test_wrong_usage(punie: Command, arguments: list[str], said: str) -> None:
    done = punie("bench", "punie-tiny", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert "secret" not in done.stderr


def _wait(is_so: Any) -> None:
    deadline = time.monotonic() + 60
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.05)
