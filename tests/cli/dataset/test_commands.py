"""The installed command, as a user meets it."""

import json
from pathlib import Path

from tests.cli.conftest import Command
from tests.training.data.samples import direct, reading, write


def test_validate_and_stats(punie: Command, tmp_path: Path) -> None:
    folder = str(tmp_path / "data")
    dataset = write(tmp_path / "data", train=[reading("What is in a.py?"), direct("Why?")])
    done = punie("dataset", "validate", folder)
    assert (done.returncode, done.stdout) == (0, "2 examples, no fault.\n")
    done = punie("dataset", "stats", folder, "--json", "--model", "punie-tiny")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["hash"] == dataset.hash
    assert told["parts"]["train"]["direct"] == 1
    assert told["parts"]["train"]["tokens"]["total"] > 20
    done = punie("dataset", "stats", folder)
    assert "direct answers 50.0%" in " ".join(done.stdout.split())
    dataset.file("train").write_text("{}\n")
    done = punie("dataset", "validate", folder)
    assert done.returncode == 1
    assert f"{dataset.file('train')}, line 1: not an example" in done.stdout
    assert done.stderr.endswith("punie: 3 faults.\n")
    done = punie("dataset", "stats", str(tmp_path / "none"))
    assert done.returncode == 1
    assert done.stderr.startswith("punie: There is no dataset in")
