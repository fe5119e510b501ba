"""Small models with real weights behind the installed command, and what is told of their work."""

import json
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import Client, Json, eventually
from tests.e2e.conftest import Start
from tests.e2e.engine.models import Models

RunModel = Callable[..., Client]

SPEAKING_AT_ONCE = """
from punie.acp import serve
from punie.models import streaming
from punie.settings import load_settings

streaming._SILENT_SECONDS = streaming._SAY_EVERY_SECONDS = 0.0
serve.serve(load_settings())
"""
"""The same program; it tells of a prompt that is being read without waiting until that is long."""


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """Model directories, each built when it is first asked for."""
    return Models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def run_model(start: Start) -> RunModel:
    """Start an agent on a model directory, with settings by name; the model may only read.

    What it writes is the same every time, and at most 200 tokens long.
    """

    def run(model: Path | str, *, program: list[str] | None = None, **settings: Any) -> Client:
        usual = {"mode": "plan", "max_tokens": 200, "temperature": 0, "idle_minutes": 0}
        variables = {
            f"PUNIE_{name.upper()}": str(value) for name, value in {**usual, **settings}.items()
        }
        command: dict[str, Any] = {} if program is None else {"command": program, "arguments": []}
        client = start(str(model), environment=variables, **command)
        client.initialize()
        return client

    return run


@pytest.fixture
def speaking_at_once(tmp_path: Path) -> list[str]:
    """A command that starts `SPEAKING_AT_ONCE`."""
    program = tmp_path / "speaking.py"
    program.write_text(SPEAKING_AT_ONCE)
    return [sys.executable, str(program)]


@pytest.fixture
def usages(environment: dict[str, str]) -> Callable[[str], list[Json]]:
    """Read what the model calls of a session cost, in tokens, as it is stored."""
    database = Path(environment["PUNIE_STATE_DIR"]) / "sessions.sqlite3"

    def read(session: str) -> list[Json]:
        query = "SELECT payload FROM events WHERE session_id = ? AND kind = 'usage' ORDER BY seq"
        with closing(sqlite3.connect(database)) as connection:
            return [json.loads(payload) for (payload,) in connection.execute(query, (session,))]

    return read


@pytest.fixture
def logged(environment: dict[str, str]) -> Callable[..., int]:
    """Count the lines of the log that say something, of a session if one is given."""
    log = Path(environment["PUNIE_STATE_DIR"]) / "logs" / "punie.log"

    def count(event: str, session: str | None = None) -> int:
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        entries: list[Json] = [json.loads(line) for line in lines]
        return sum(
            entry["event"] == event and session in (None, entry.get("session")) for entry in entries
        )

    return count


@pytest.fixture
def read_ahead(logged: Callable[..., int]) -> Callable[[str, int], None]:
    """Wait until a session's model has read ahead so many times."""

    def wait(session: str, times: int) -> None:
        assert eventually(lambda: logged("read ahead", session) >= times, 60)

    return wait
