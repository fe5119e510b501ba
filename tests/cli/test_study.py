"""`punie study`: what it lists, and what it refuses."""

from pathlib import Path

import pytest

from punie.cli.study import main
from punie.training.studies.catalog import STUDIES


def test_without_a_name_it_lists_the_questions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    said = capsys.readouterr().out
    assert all(f"{study.name}\n    {study.question}" in said for study in STUDIES.values())


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["colours"], "there is no study 'colours'"),
        (["formats", "--set", "steps"], "sets nothing"),
        (["discrimination", "--set", "base.step=5"], "base.step: "),
        (["discrimination", "--set", "base.steps=none"], "base.steps: "),
        (["formats", "--set", "seeds.first=1"], "seeds: "),
        (["formats", "--small", "--set", "tasks.few=1"], "tasks: "),
    ],
)
def test_what_cannot_be_run_is_said_in_a_sentence(
    arguments: list[str], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--out", str(tmp_path), "--store", str(tmp_path / "store")]) != 0
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "store").exists()
