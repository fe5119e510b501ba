"""`punie dataset from-sessions` on what `punie ask` has stored."""

from collections.abc import Callable
from pathlib import Path

from punie.training.data.dataset import open_dataset
from tests.cli.conftest import Command


def test_accepted_turns_become_a_dataset(
    punie: Command, script: Callable[..., str], tmp_path: Path
) -> None:
    (punie.home / "config").mkdir()
    (punie.home / "config" / "settings.toml").write_text("learn_from_sessions = true\n")
    write = {"tool": "write_file", "arguments": {"path": "a.txt", "content": "new\n"}}
    answers = script({"calls": [write]}, {"text": "Done."})
    assert punie("ask", "--yes", "Write a.txt", PUNIE_MODEL=answers).returncode == 0
    punie("ask", "Write a.txt", PUNIE_MODEL=answers)  # nobody is there to allow it
    out = tmp_path / "mine"
    done = punie("dataset", "from-sessions", "--out", str(out), "--project", str(punie.cwd))
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"1 example in {out}\n  left out, a permission was denied: 1\n"
    (example,) = open_dataset(out).examples("all")
    assert (example.query, example.checked) == ("Write a.txt", "person")
