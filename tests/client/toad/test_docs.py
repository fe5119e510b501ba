"""The programs in docs/server.md, run as they stand there."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import get_type_hints

import pytest

from punie.client.toad import Callbacks
from tests.server.conftest import RunningServer

PAGE = Path(__file__).parents[3] / "docs/server.md"
Use = Callable[..., None]
EDIT = {
    "tool": "edit_file",
    "arguments": {"path": "app.py", "edits": [{"old_text": "Hello", "new_text": "Servus"}]},
}


@pytest.fixture
def programs() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)


@pytest.fixture(autouse=True)
def at_home(server: RunningServer, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be in a project of the user whose server runs."""
    for name in ("HOME", "PUNIE_STATE_DIR", "PUNIE_CONFIG_DIR"):
        monkeypatch.setenv(name, server.environment[name])
    monkeypatch.chdir(project)


def test_a_session_of_ones_own(
    programs: list[str], scripted: Use, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted({"text": "Servus! ", "calls": [EDIT]}, {"text": "Done."})
    exec(programs[0], {"__name__": "__main__"})
    shown = capsys.readouterr().out
    assert "Servus! " in shown
    assert "Edit app.py ? ['Allow', " in shown
    assert "[completed] Edit app.py" in shown
    assert shown.endswith("Done.end_turn\n")
    assert "Servus" in (project / "app.py").read_text()


def test_a_session_that_stays(
    programs: list[str], scripted: Use, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted({"text": "It greets."}, {"text": "Tests."})
    exec(programs[1], {"__name__": "__main__"})
    shown = capsys.readouterr().out
    assert shown == "connection open\nIt greets. (end_turn)\nTests. (end_turn)\n"
    lines = [json.loads(line) for line in (project / "wire.jsonl").read_text().splitlines()]
    assert {line["direction"] for line in lines} == {"sent", "received"}
    assert len(programs) == 2


def test_every_callback_is_named() -> None:
    text = PAGE.read_text("utf-8")
    assert [name for name in get_type_hints(Callbacks) if f"`{name}`" not in text] == []
