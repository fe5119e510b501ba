"""`punie dataset from-teacher` with a teacher on a server."""

import json
from pathlib import Path

import pytest

from punie.cli.main import main
from punie.training.data.dataset import open_dataset
from tests.openai_server import OpenAIServer, calls, says, serve_openai
from tests.training.data.test_from_teacher import reading_task, seed_of_reading


def test_what_it_does_right_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PUNIE_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("PUNIE_STATE_DIR", str(tmp_path / "state"))
    seed = seed_of_reading()
    _, path, lines = reading_task(seed)
    read = calls("read_file", json.dumps({"path": path}))
    told = says(f"{path} has {lines} lines.")
    out = tmp_path / "taught"
    asked = ["dataset", "from-teacher", "--teacher", "openai:tiny", "--seed", str(seed)]
    asked += ["--preset", "tiny", "--tasks", "1", "--out", str(out), "--attempts", "2"]
    assert main(asked) == 2
    assert "attempts needs a temperature above 0" in capsys.readouterr().err
    assert main([*asked, "--weight", "move"]) == 2
    assert "'move' is not FAMILY=NUMBER" in capsys.readouterr().err
    with serve_openai(OpenAIServer([says("I do not know."), read, told])) as server:
        monkeypatch.setenv("PUNIE_OPENAI_URL", server.url)
        monkeypatch.setenv("PUNIE_OPENAI_CONTEXT", "32768")
        assert main([*asked, "--temperature", "0.5"]) == 0
    wrong = "  not kept, it answered without looking: 1\n"
    assert capsys.readouterr().out == f"1 example of 1 task in {out}\n{wrong}"
    assert len([*open_dataset(out).examples("all")]) == 1
