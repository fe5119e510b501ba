"""The demonstration itself, with prepared answers, so that it is quick and always the same."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

DEMO = Path(__file__).parents[2] / "docs" / "demo" / "demo.py"
SEARCH = {"calls": [{"tool": "search", "arguments": {"pattern": "def load_orders"}}]}
ANSWER = {"text": "`load_orders` is defined in `app/orders.py`."}
EDIT = {
    "calls": [
        {
            "tool": "edit_file",
            "arguments": {
                "path": "app/settings.py",
                "edits": [{"old_text": "MAX_RETRIES = 3", "new_text": "MAX_RETRIES = 5"}],
            },
        }
    ]
}


def demo(
    folder: Path, *responses: dict[str, Any], flags: tuple[str, ...] = (), text: str = ""
) -> subprocess.CompletedProcess[str]:
    script = folder / "script.json"
    script.write_text(json.dumps({"responses": responses}), encoding="utf-8")
    return subprocess.run(
        [sys.executable, DEMO, "--model", f"scripted:{script}", *flags],
        capture_output=True,
        text=True,
        input=text,
        check=False,
        timeout=120,
    )


def test_it_shows_all_and_the_edit_reaches_the_disk(tmp_path: Path) -> None:
    picture = tmp_path / "session.svg"
    done = demo(tmp_path, SEARCH, ANSWER, EDIT, {"text": "Changed."}, flags=("--svg", str(picture)))
    assert done.returncode == 0, done.stdout + done.stderr
    for shown in (
        "initialize",
        'tool call: Search "def load_orders" (search)',
        "tool call: Edit app/settings.py (edit)",
        "-MAX_RETRIES = 3",
        "+MAX_RETRIES = 5",
        "the demo answers by itself",
        "app/settings.py:3 MAX_RETRIES = 5",
        "turn ended: end_turn",
        "the agent ended with 0",
    ):
        assert shown in done.stdout
    drawn = picture.read_text(encoding="utf-8")
    assert "MAX_RETRIES" in drawn
    assert "url(http" not in drawn.replace('"', "")


def test_it_fails_when_the_edit_does_not_happen(tmp_path: Path) -> None:
    done = demo(tmp_path, SEARCH, ANSWER, {"text": "I would rather not."})
    assert done.returncode == 1
    assert "should hold 'MAX_RETRIES = 5'" in done.stdout


def test_a_person_may_answer_no(tmp_path: Path) -> None:
    done = demo(tmp_path, SEARCH, ANSWER, EDIT, {"text": "Fine."}, flags=("--ask",), text="n\n")
    assert done.returncode == 1
    assert "Deny" in done.stdout
    assert "app/settings.py:3 MAX_RETRIES = 3" in done.stdout


def test_a_model_that_cannot_be_opened_fails_it(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text("{}", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, DEMO, "--model", f"scripted:{script}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
