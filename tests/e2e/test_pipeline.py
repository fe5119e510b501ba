"""The whole pipeline, as a user runs it: from data to a model that may be used."""

import json
from pathlib import Path

import pytest

from punie.models.provenance import read_provenance
from tests.cli.conftest import Command

GATES = {
    "gate-zero:punie-tiny",
    "gate-data:examples",
    "gate-training:adapter",
    "gate-conversion:whole",
    "gate-conversion:packed",
    "gate-serving:packed",
}


@pytest.mark.slow
def test_from_data_to_a_model_that_is_used(tmp_path: Path) -> None:
    for name in ("home", "project"):
        (tmp_path / name).mkdir()
    punie = Command(tmp_path / "home", tmp_path / "state", tmp_path / "project")
    # Compiling kernels takes longer than all that they would compute here.
    punie.extra["MLX_DISABLE_COMPILE"] = "1"
    punie.extra["XDG_DATA_HOME"] = str(tmp_path / "data")

    with punie.start("pipeline", "run", "small") as process:
        said, told = process.communicate(timeout=900)
    assert process.returncode == 0, told
    assert "all 6 gates passed" in said
    assert "scores: all_tasks_solved " in said
    run = json.loads(punie("pipeline", "status", "small", "--json").stdout)
    steps = {step["name"]: step for step in run["steps"]}
    assert {name for name in steps if name.startswith("gate-")} == GATES
    assert all(step["record"]["passed"] is not False for step in steps.values())
    interval = steps["scores"]["record"]["figures"]["all_tasks_solved"]
    assert interval["low"] < interval["high"]

    looks = [
        Path(line.split()[0])
        for line in said.partition("What to look at:")[2].splitlines()
        if line.startswith("  /")
    ]
    assert {file.name for file in looks} >= {"report.json", "run.json"}
    assert all(file.is_file() for file in looks)
    model = Path(steps["packed"]["output"])
    made = read_provenance(model)
    assert made is not None
    assert made.gates == {"conversion": True, "serving": True}
    assert "  small\n" in punie("models", "list").stdout
    used = punie("models", "use", "small")
    assert used.returncode == 0, used.stderr

    again = punie("pipeline", "run", "small")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("  reused ") == len(steps)
