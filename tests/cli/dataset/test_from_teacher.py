"""`punie dataset from-teacher` with a teacher on a server."""

import json
from pathlib import Path

from punie.training.data.dataset import open_dataset
from tests.cli.conftest import Command
from tests.openai_server import OpenAIServer, calls, says, serve_openai
from tests.training.data.test_from_teacher import reading_task, seed_of_reading


def test_what_it_does_right_is_kept(punie: Command, tmp_path: Path) -> None:
    seed = seed_of_reading()
    _, path, lines = reading_task(seed)
    read = calls("read_file", json.dumps({"path": path}))
    told = says(f"{path} has {lines} lines.")
    out = str(tmp_path / "taught")
    asked = ("dataset", "from-teacher", "--teacher", "openai:tiny", "--seed", str(seed))
    more = ("--tasks", "1", "--out", out)
    done = punie(*asked, *more, "--attempts", "2")
    assert done.returncode == 2
    assert "attempts needs a temperature above 0" in done.stderr
    tries = ("--attempts", "2", "--temperature", "0.5")
    with serve_openai(OpenAIServer([says("I do not know."), read, told])) as server:
        environment = {"PUNIE_OPENAI_URL": server.url, "PUNIE_OPENAI_CONTEXT": "32768"}
        done = punie(*asked, *more, *tries, **environment)
    assert done.returncode == 0, done.stderr
    wrong = "  not kept, it answered without looking: 1\n"
    assert done.stdout == f"1 example of 1 task in {out}\n{wrong}"
    assert len([*open_dataset(Path(out)).examples("all")]) == 1
