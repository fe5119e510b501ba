"""`punie learn` on stored sessions."""

from pathlib import Path

import anyio
import pytest

from punie.cli.main import main
from punie.settings import Settings, load_settings, user_settings_file
from tests.training.stored_sessions import StoredSession, says, use


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("PUNIE_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("PUNIE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    user_settings_file().parent.mkdir()
    user_settings_file().write_text("learn_from_sessions = true\n")
    return load_settings()


async def _work(settings: Settings, project: Path) -> None:
    read = use("read_file", path="a.txt")
    for asked in ("How long is a.txt?", "And how long is it now?"):
        session = StoredSession(settings, project)
        await session.turn(asked, read, says("It has two \x1b[31mlines."))
        await session.aclose()


def test_every_example_is_seen_and_can_be_deleted(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def learn(*arguments: str) -> tuple[int, str]:
        code = main(["learn", *arguments])
        return code, capsys.readouterr().out

    project = tmp_path / "project"
    project.mkdir()
    (project / "a.txt").write_text("one\ntwo\n")
    anyio.run(_work, settings, project)
    code, listed = learn("list")
    first, second = listed.splitlines()
    assert code == 0
    assert first.endswith("1 call  How long is a.txt?")
    assert second.endswith("1 call  And how long is it now?")
    assert learn("list", "--project", str(tmp_path / "elsewhere")) == (0, "")
    name = first.split()[0]
    code, shown = learn("show", name[:8])
    assert "[user]\nHow long is a.txt?\n" in shown
    assert "-> read_file\n   path: a.txt\n" in shown
    assert "\x1b" not in shown
    assert learn("show", "no-such-id")[0] == 1
    code, told = learn("--least=2")
    assert code == 1  # nobody is there to say that it may begin
    assert "punie-tiny learns from 2 examples of your sessions" in told
    assert not [*(settings.state_dir / "learning" / "runs").iterdir()]
    assert learn("delete", name) == (1, "")  # nobody is there to agree
    assert learn("delete", name, "--yes") == (0, "1 example deleted.\n")
    assert learn("status")[1] == (
        "1 example in your sessions.\n"
        "  left out, deleted, or after what was deleted: 1\n"
        "1 turn deleted; they are never taken again.\n"
    )
    assert learn("delete", "--all", "--yes") == (0, "1 example deleted.\n")
    assert learn("delete", "--all", "--yes") == (0, "There is no example to delete.\n")


def test_nothing_is_looked_at_without_the_users_word(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    user_settings_file().write_text("")
    assert main(["learn", "list"]) == 1
    assert "write `learn_from_sessions = true` into" in capsys.readouterr().err
    assert main(["learn", "status"]) == 0
    assert "Nothing is taken from your sessions" in capsys.readouterr().out
    assert main(["learn", "delete"]) == 2
    assert not settings.state_dir.exists()
