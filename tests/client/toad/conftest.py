"""The servers that the front ends of these tests talk to."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from punie.client.control import stop_server
from punie.server.record import read_record
from tests.server.conftest import project, scripted, server

__all__ = ["project", "scripted", "server"]


class OwnServer:
    """The user's server: started by the first client that needs it, in a home of the test's."""

    def __init__(self, folder: Path) -> None:
        self.state_dir = folder / "state"

    def kill(self) -> None:
        record = read_record(self.state_dir)
        assert record is not None
        os.kill(record.pid, signal.SIGKILL)


@pytest.fixture
def own_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OwnServer]:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PUNIE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("PUNIE_CONFIG_DIR", str(tmp_path / "config"))
    own = OwnServer(tmp_path)
    yield own
    stop_server(own.state_dir)
