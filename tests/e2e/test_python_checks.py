"""An edit that breaks the code says so, the tests say so too, and both tell when it is mended."""

from pathlib import Path

import pytest

from tests.e2e.client import Json, allow
from tests.e2e.conftest import Script, Start
from tests.e2e.test_coding_tools import call, results
from tests.e2e.test_commands import opened, said

pytestmark = pytest.mark.shared_agent


def edit(old: str, new: str) -> Json:
    return call("edit_file", path="app.py", edits=[{"old_text": old, "new_text": new}])


def test_an_edit_breaks_and_another_mends(start: Start, script: Script, tested: Path) -> None:
    client = start(
        script(
            {"calls": [edit("+ name", "+ nam")]},
            {"calls": [call("run_tests")]},
            {"calls": [edit("+ nam", "+ name")]},
            {"calls": [call("pytest", path="test_app.py")]},
            {"calls": [call("run_tests", failed=True)]},
            {"text": "Mended."},
        ),
        environment={"PUNIE_MODE": "accept_edits", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )
    session = opened(client, tested)
    assert said(client, session, "go").endswith("Mended.")
    broken, failed, mended, unknown, passed = results(client, session)
    assert "new problems:\napp.py:2 F821: Undefined name `nam`" in broken
    assert "1 failed\nFAILED test_app.py::test_greet\n" in failed
    assert "  app.py:2 in greet: return 'Hello ' + nam\n  NameError: name 'nam' is not" in failed
    assert "new problems" not in mended
    assert 'run_tests {"paths": ["test_app.py"]}' in unknown
    assert "1 passed" in passed
    asked = client.questions(session)
    assert [each["toolCall"]["title"] for each in asked] == ["`pytest`", "`pytest --lf`"]
    names = [option["name"] for option in asked[0]["options"]]
    assert "Always allow exactly `pytest`" in names


def test_reviewing_what_ruff_would_change(start: Start, script: Script, tested: Path) -> None:
    (tested / "app.py").write_text("import os\ndef greet( name ):\n    return 'Hello ' + name\n")
    (tested / "ruff.toml").write_text('lint.select = ["F"]\n')
    before = (tested / "app.py").read_text()
    seen: list[tuple[str, bool]] = []

    def review(request: Json) -> Json:
        shown = request["params"]["toolCall"]
        # What is shown has not happened yet.
        (diff,) = shown["content"]
        seen.append((shown["title"], (tested / "app.py").read_text() == diff["oldText"]))
        return allow(request)

    calls = [call("lint"), call("check_types"), call("lint", fix=True)]
    client = start(
        script({"calls": [*calls, call("format", path="app.py")]}, {"text": "Tidy."}), answer=review
    )
    session = opened(client, tested)
    said(client, session, "go")
    linted, typed, fixed, formatted = results(client, session)
    assert "app.py:1 F401: `os` imported but unused (fixable)" in linted
    assert "\nno problems\n" in typed, typed
    assert fixed == formatted == f"diff {tested / 'app.py'}"
    assert seen == [("Fix lint in the project: 1 file", True), ("Format app.py: 1 file", True)]
    after = (tested / "app.py").read_text()
    assert after == 'def greet(name):\n    return "Hello " + name\n'
    said(client, session, "/undo")
    assert (tested / "app.py").read_text() == before
