"""When nothing can be saved, the turn goes on and the person is told once."""

import os
from pathlib import Path

import pytest

from tests.e2e.client import Client
from tests.e2e.conftest import Script, Start

SENTENCE = "is not being saved"


def run_twice(client: Client, project: Path) -> str:
    client.initialize()
    session = client.new_session(project)
    for _ in range(2):
        assert client.prompt(session) == "end_turn"
    # What is only in memory can still be shown again.
    before = len(client.updates(session, "user_message_chunk"))
    params = {"sessionId": session, "cwd": str(project), "mcpServers": []}
    client.request("session/load", params)
    assert len(client.updates(session, "user_message_chunk")) == before + 2
    return client.text(session)


def test_a_state_directory_that_is_a_file(
    start: Start, script: Script, project: Path, environment: dict[str, str]
) -> None:
    Path(environment["PUNIE_STATE_DIR"]).write_text("in the way")
    text = run_twice(start(script({"text": "Fine."}, repeat=True)), project)
    assert text.count(SENTENCE) == 1
    assert text.count("Fine.") == 4


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_state_directory(
    start: Start, script: Script, project: Path, environment: dict[str, str]
) -> None:
    state = Path(environment["PUNIE_STATE_DIR"])
    state.mkdir(mode=0o500)
    text = run_twice(start(script({"text": "Fine."}, repeat=True)), project)
    assert text.count(SENTENCE) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk(
    start: Start, script: Script, project: Path, environment: dict[str, str]
) -> None:
    state = Path(environment["PUNIE_STATE_DIR"])
    state.mkdir()
    (state / "sessions.sqlite3").symlink_to("/dev/full")
    text = run_twice(start(script({"text": "Fine."}, repeat=True)), project)
    assert text.count(SENTENCE) == 1
