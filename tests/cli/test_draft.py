"""A draft model as a user makes and measures one."""

import json
from pathlib import Path

from tests.cli.conftest import Command
from tests.training.sample_conversations import write_data


def test_a_draft_model_is_made_and_measured(punie: Command, tmp_path: Path) -> None:
    data, draft = write_data(tmp_path / "data", 3, 1), tmp_path / "draft"
    measured = ["--length", "2", "--examples", "1", "--answer-tokens", "50"]
    small = ["--hidden", "32", "--layers", "1", "--inner", "32", "--steps", "1", "--tokens", "256"]
    made = punie("draft", "train", "punie-tiny", str(data), "--out", str(draft), *small, *measured)
    assert made.returncode == 0, made.stderr
    assert "by position" in made.stdout
    assert "draft_model" in made.stdout

    given = ["draft", "measure", "punie-tiny", str(draft), str(data), "--part=valid", "--json"]
    again = punie(*given, *measured)
    assert again.returncode == 0, again.stderr
    found = json.loads(again.stdout)
    assert found == json.loads((draft / "acceptance.json").read_text())

    refused = punie("draft", "measure", "punie-tiny", str(draft), str(tmp_path))
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert "There is no dataset" in refused.stderr
    assert "Traceback" not in refused.stderr
