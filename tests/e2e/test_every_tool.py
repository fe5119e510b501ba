"""Every tool of the agent works through the installed `punie acp`; so does the bundled model."""

import subprocess
from pathlib import Path

import pytest

from punie.tools.catalog import ALL_TOOLS
from tests.e2e.client import Json, merged_calls
from tests.e2e.conftest import Script, Start
from tests.e2e.test_coding_tools import PATCH, call, results
from tests.e2e.test_commands import opened, said

CALLS = [
    call("read_file", path="app.py"),
    call("list_dir"),
    call("find_files", pattern="*.py"),
    call("search", pattern="greet"),
    call("apply_patch", patch=PATCH),
    call("edit_file", path="app.py", edits=[{"old_text": "Servus ", "new_text": "Hello "}]),
    call("write_file", path="shop.py", content="from app import greet\n\nprint(greet('Ada'))\n"),
    call("symbols", path="app.py"),
    call("definition", symbol="greet", path="shop.py:1"),
    call("references", symbol="greet", path="app.py:1"),
    call("hover", symbol="greet", path="app.py:1"),
    call("rename_symbol", symbol="greet", path="app.py:1", new_name="welcome"),
    call("find_pattern", pattern="print($X)"),
    call("add_import", path="shop.py", statement="import json"),
    call("check_types", path="app.py"),
    call("lint"),
    call("format", path="shop.py"),
    call("validate", path="app.py"),
    call("run_tests"),
    call("git", command="diff"),
    call("run_command", command="cat; echo ready; sleep 30", background=True),
    call("command_output", id="bg1", stop=True),
    call("move", path="docs/note.md", to="docs/notes.md"),
    call("delete", path="docs/notes.md"),
    call("update_plan", steps=[{"content": "Check it", "status": "completed"}]),
    call("ask_user", question="Which?", choices=["this", "that"]),
    call("explore", task="What does shop.py print?"),
]


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def choose(request: Json) -> Json:
    """Allow what is asked about, and answer a question with the first choice."""
    option = request["params"]["options"][0]
    return {"outcome": {"outcome": "selected", "optionId": option["optionId"]}}


def test_every_tool(start: Start, script: Script, tested: Path) -> None:
    assert [each["tool"] for each in CALLS if each["tool"] not in {t.name for t in ALL_TOOLS}] == []
    assert {tool.name for tool in ALL_TOOLS} - {each["tool"] for each in CALLS} == set()
    git(tested, "init", "-q")
    git(tested, "add", ".")
    git(tested, "commit", "-qm", "A beginning")
    before = {path: path.read_bytes() for path in tested.glob("*.py")}
    client = start(
        script({"text": "Hello Ada."}, {"calls": CALLS}, {"text": "All done."}),
        answer=choose,
        environment={"PUNIE_MODE": "auto", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )
    session = opened(client, tested)
    # Who explores begins a conversation of its own, and so this is what it answers as well.
    assert said(client, session, "What does shop.py print?") == "Hello Ada."
    answer = said(client, session, "go")
    shown = list(merged_calls(client.updates(session)).values())
    told = dict(zip([each["tool"] for each in CALLS], results(client, session), strict=True))
    failed = {
        made["tool"]: told[made["tool"]]
        for made, seen in zip(CALLS, shown, strict=True)
        if seen["status"] != "completed"
    }
    assert failed == {}
    assert answer.endswith("All done.")
    assert "1 passed" in told["run_tests"]
    assert "welcome" in (tested / "test_app.py").read_text()
    assert "Hello Ada." in told["explore"]
    said(client, session, "/undo")
    assert {path: path.read_bytes() for path in tested.glob("*.py")} == before
    assert not (tested / "docs").exists()


@pytest.fixture
def settings(project: Path) -> Path:
    (project / "settings.py").write_text("TIMEOUT = 30\nRETRIES = 3\n")
    return project


def test_the_bundled_model(start: Start, settings: Path) -> None:
    client = start("punie-tiny", environment={"PUNIE_MODE": "auto"})
    before = (settings / "settings.py").read_bytes()
    for prompt, expected in (
        ("list the files", "settings.py"),
        ("search for RETRIES", "settings.py:2"),
        ("read settings.py", "TIMEOUT = 30"),
        ("run `wc -l settings.py`", "2 settings.py"),
        ("replace 30 with 45 in settings.py", "diff"),
    ):
        session = opened(client, settings)
        client.prompt(session, prompt)
        made = list(merged_calls(client.updates(session)).values())
        assert made, prompt
        assert all(each["status"] == "completed" for each in made), prompt
        assert expected in "\n".join(results(client, session)), prompt
    assert (settings / "settings.py").read_text() == "TIMEOUT = 45\nRETRIES = 3\n"
    said(client, session, "/undo")
    assert (settings / "settings.py").read_bytes() == before
    said(client, session, "/redo")
    assert (settings / "settings.py").read_text() == "TIMEOUT = 45\nRETRIES = 3\n"
