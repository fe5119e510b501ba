"""`session/list`: exactly the folder's sessions, newest first, page by page."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import Json, Refused
from tests.e2e.conformance.conftest import Stage, stage_environment
from tests.e2e.conftest import Start


def listed(stage: Stage, **params: Any) -> list[Json]:
    """Return all pages joined."""
    sessions: list[Json] = []
    cursor: Json = {}
    while True:
        page = stage.client.request("session/list", {**params, **cursor})
        sessions += page["sessions"]
        if page.get("nextCursor") is None:
            return sessions
        cursor = {"cursor": page["nextCursor"]}


def used_session(stage: Stage, project: Path, text: str = "Go") -> str:
    session = stage.client.new_session(project)
    assert stage.client.prompt(session, text) == "end_turn"
    return session


def test_one_entry_says_all(stage: Stage, tmp_path: Path) -> None:
    project = stage.project()
    session = stage.client.new_session(project, additionalDirectories=[str(tmp_path)])
    stage.client.prompt(session, "Rename the function greet to hello")
    (entry,) = listed(stage, cwd=str(project))
    assert entry["sessionId"] == session
    assert entry["cwd"] == str(project)
    assert entry["additionalDirectories"] == [str(tmp_path)]
    assert "greet" in entry["title"]
    updated = datetime.fromisoformat(entry["updatedAt"])
    assert abs(datetime.now(UTC) - updated) < timedelta(minutes=5)


def test_the_folder_is_taken_exactly(stage: Stage) -> None:
    project = stage.project()
    below = project / "below"
    below.mkdir()
    beside = Path(f"{project}-beside")
    beside.mkdir()
    sessions = {folder: used_session(stage, folder) for folder in (project, below, beside)}
    for folder, session in sessions.items():
        assert [entry["sessionId"] for entry in listed(stage, cwd=str(folder))] == [session]
    assert listed(stage, cwd=str(project.parent / "no-such-folder")) == []
    everything = {entry["sessionId"] for entry in listed(stage)}
    assert set(sessions.values()) <= everything
    assert {entry["sessionId"] for entry in listed(stage, cwd=None)} == everything


def test_the_latest_used_comes_first(stage: Stage) -> None:
    project = stage.project({"text": "Fine."}, repeat=True)
    first, second, third = (used_session(stage, project) for _ in range(3))
    stage.client.prompt(first)
    order = [entry["sessionId"] for entry in listed(stage, cwd=str(project))]
    assert order == [first, third, second]


def test_pages(stage: Stage) -> None:
    project = stage.project({"text": "Fine."}, repeat=True)
    sessions = [used_session(stage, project) for _ in range(55)]
    page = stage.client.request("session/list", {"cwd": str(project)})
    assert 0 < len(page["sessions"]) < 55
    assert page["nextCursor"]
    # A session that is used between two pages neither repeats nor hides another.
    stage.client.prompt(page["sessions"][0]["sessionId"])
    rest = stage.client.request("session/list", {"cwd": str(project), "cursor": page["nextCursor"]})
    assert rest.get("nextCursor") is None
    ids = [entry["sessionId"] for entry in page["sessions"] + rest["sessions"]]
    assert ids == sessions[::-1]


@pytest.mark.parametrize("cursor", ["", "x", "bm9uc2Vuc2U=", "W10=", "é", "A" * 5000, "1"])
def test_cursors_that_are_none(stage: Stage, cursor: str) -> None:
    with pytest.raises(Refused) as refused:
        stage.client.request("session/list", {"cursor": cursor})
    assert refused.value.code == -32602


def test_a_folder_of_another_type(stage: Stage) -> None:
    with pytest.raises(Refused, match="-32602"):
        stage.client.request("session/list", {"cwd": 3})


def test_another_process_lists_the_same(start: Start, stage: Stage) -> None:
    project = stage.project()
    session = used_session(stage, project)
    client = start(environment=stage_environment(stage.folder))
    client.initialize()
    (entry,) = client.request("session/list", {"cwd": str(project)})["sessions"]
    assert entry["sessionId"] == session
    assert client.request("session/list", {})["sessions"]
