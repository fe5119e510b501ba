"""Finding one's way in Python code and renaming in it, through the installed `punie acp`."""

from pathlib import Path

from tests.e2e.client import allow, deny
from tests.e2e.conftest import Script, Start
from tests.e2e.test_coding_tools import call, results
from tests.e2e.test_commands import opened, said

USE = "from app import greet\n\n# greet everyone\nprint(greet('you'))\n"


def test_looking_up_and_renaming_across_files(start: Start, script: Script, project: Path) -> None:
    (project / "use.py").write_text(USE)
    app = (project / "app.py").read_text()
    rename = call("rename_symbol", symbol="greet", new_name="welcome")
    answers = [deny, allow]
    client = start(
        script(
            {
                "calls": [
                    call("symbols", path="app.py"),
                    call("definition", symbol="greet", path="use.py:4"),
                    call("find_references", symbol="greet"),
                    call("references", symbol="greet"),
                ]
            },
            {"calls": [rename]},
            {"calls": [rename]},
            {"text": "Done."},
        ),
        answer=lambda request: answers.pop(0)(request),
    )
    session = opened(client, project)
    client.prompt(session)
    outline, definition, wrong, uses, denied, renamed = results(client, session)
    assert outline == "```python\n1:def greet(name):\n```"
    assert definition == "```\napp.py:1:def greet(name):\n```"
    assert 'the nearest valid call is references {"symbol": "greet"}' in wrong
    assert uses == (
        "```\napp.py:1:def greet(name):\n"
        "use.py:1:from app import greet\n"
        "use.py:4:print(greet('you'))\n```"
    )
    diffs = f"diff {project / 'app.py'}\ndiff {project / 'use.py'}"
    assert denied.startswith(diffs)
    assert renamed.startswith(diffs)
    first, second = client.questions(session)
    assert first["toolCall"]["content"] == second["toolCall"]["content"]
    assert first["toolCall"]["title"] == "Rename greet to welcome: 2 files"
    assert (project / "use.py").read_text() == (
        "from app import welcome\n\n# greet everyone\nprint(welcome('you'))\n"
    )
    assert "def welcome(name)" in (project / "app.py").read_text()
    answer = said(client, session, "/undo")
    assert "`app.py` is as it was before" in answer
    assert (project / "use.py").read_text() == USE
    assert (project / "app.py").read_text() == app
