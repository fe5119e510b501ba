"""Sessions of a user who allows to learn from them, in a home of their own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from punie.settings import Settings, load_settings, user_settings_file
from tests.training.stored_sessions import StoredSession


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("PUNIE_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    user_settings_file().parent.mkdir()
    user_settings_file().write_text("learn_from_sessions = true\n")
    return load_settings(state_dir=tmp_path / "state")


@pytest.fixture
async def session(tmp_path: Path, settings: Settings) -> AsyncIterator[StoredSession]:
    project = tmp_path / "project"
    project.mkdir()
    (project / "a.py").write_text("x = 1\n")
    opened = StoredSession(settings, project)
    yield opened
    await opened.aclose()
