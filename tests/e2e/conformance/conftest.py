"""One agent serves all tests of a file, each in sessions of its own: none may harm another."""

import itertools
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import Client, Json, allow


class Stage:
    """Opens sessions, each in a project of its own with a script for the model."""

    def __init__(self, client: Client, folder: Path) -> None:
        self.client = client
        self.folder = folder
        self._numbers = itertools.count(1)

    def project(self, *responses: Json, **script: Any) -> Path:
        """Return a small project whose sessions run the given script."""
        project = self.folder / f"project-{next(self._numbers)}"
        (project / ".punie").mkdir(parents=True)
        (project / "app.py").write_text("def greet(name):\n    return 'Hello ' + name\n")
        path = project / ".punie" / "script.json"
        path.write_text(json.dumps({"responses": responses or [{"text": "Fine."}], **script}))
        (project / ".punie" / "settings.toml").write_text(f'model = "scripted:{path}"\n')
        return project

    def session(self, *responses: Json, mode: str = "ask", **script: Any) -> str:
        """Open a session in a new project; return its id."""
        session = self.client.new_session(self.project(*responses, **script))
        if mode != "ask":
            self.client.request("session/set_mode", {"sessionId": session, "modeId": mode})
        return session

    def open(self, method: str, session: str, project: Path, **params: Any) -> Json:
        """Load, resume or fork a session."""
        result = self.client.request(
            method, {"sessionId": session, "cwd": str(project), "mcpServers": [], **params}
        )
        assert isinstance(result, dict)
        return result

    def stored(self, session: str) -> tuple[Any, ...]:
        """Return what the store holds of a session: its row and the number of its events."""
        path = self.folder / "state" / "sessions.sqlite3"
        with closing(sqlite3.connect(path)) as db:
            row = db.execute("SELECT * FROM sessions WHERE id = ?", (session,)).fetchone()
            count = db.execute(
                "SELECT count(*) FROM events WHERE session_id = ?", (session,)
            ).fetchone()
        return (row, *count)


def stage_environment(folder: Path) -> dict[str, str]:
    """Return the trimmed environment of an agent that keeps everything below `folder`.

    Its usual model is a script too: it would open the bundled one for nobody.
    """
    for name in ("home", "config"):
        (folder / name).mkdir(exist_ok=True)
    usual = folder / "usual.json"
    usual.write_text('{"responses": [{"text": "Fine."}]}')
    (folder / "config" / "settings.toml").write_text(f'model = "scripted:{usual}"\n')
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "home"),
        "PUNIE_STATE_DIR": str(folder / "state"),
        "PUNIE_CONFIG_DIR": str(folder / "config"),
    }


BY_SERVER_TOO = ("test_cancel", "test_load", "test_matrix", "test_prompt", "test_tool_calls")
"""Files whose tests run a second time with an agent that is a client of the server; with
`pytest --shared` all do, and only so."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "shared_stage" in metafunc.fixturenames:
        file = metafunc.module.__name__.rpartition(".")[2]
        ways = [None, ("acp", "--shared")] if file in BY_SERVER_TOO else [None]
        ids = ["alone", "by-server"][: len(ways)]
        metafunc.parametrize("shared_stage", ways, ids=ids, indirect=True, scope="module")


@pytest.fixture(scope="module")
def shared_stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("stage")
    with Client(stage_environment(folder), arguments=request.param) as client:
        client.initialize()
        yield Stage(client, folder)


@pytest.fixture
def stage(shared_stage: Stage) -> Stage:
    """The file's agent; questions are answered with yes unless a test says otherwise."""
    shared_stage.client.answer = allow
    shared_stage.client.exchange.sound = True
    return shared_stage
