"""Distilling as it is typed."""

import json
from pathlib import Path

from tests.cli.conftest import Command
from tests.training.distilling.small_models import random_model
from tests.training.sample_conversations import write_data


def test_a_student_is_distilled(punie: Command, tmp_path: Path) -> None:
    teacher, student = random_model(tmp_path / "teacher"), random_model(tmp_path / "student", 2)
    data, out = write_data(tmp_path / "data", 8, 2), tmp_path / "out"
    given = ["distill", str(teacher), str(student), str(data), "--out", str(out)]
    done = punie(*given, "--steps", "2", "--batch", "2")
    assert done.returncode == 0, done.stderr
    assert "a model" in done.stdout
    assert json.loads((out / "punie-model.json").read_text())["made_by"] == "distill"

    again = punie(*given)
    assert (again.returncode, again.stdout) == (1, "")
    assert "exists already" in again.stderr
    wrong = punie(*given, "--kind", "whole")
    assert wrong.returncode == 2
    assert "--kind" in wrong.stderr
