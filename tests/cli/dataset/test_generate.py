"""`punie dataset generate`, started as a user starts it."""

from pathlib import Path

import pytest

from punie.cli.main import main
from punie.training.data.dataset import open_dataset
from tests.cli.conftest import Command


def test_a_dataset_is_made_and_what_cannot_be_made_is_said(
    punie: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "data"
    sizes = ("--train", "6", "--valid", "0", "--test", "2", "--seed", "3")
    mixed = ("--direct", "0.5", "--code", "0", "--weight", "run_tests=0")
    done = punie("dataset", "generate", "--out", str(out), *sizes, *mixed, "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert f"{out}: train 6, test 2; " in done.stderr
    train = [*open_dataset(out).examples("train")]
    assert [bool(example.calls) for example in train].count(False) == 3
    assert open_dataset(out).manifest.recipe["weights"] == {"run_tests": 0.0}
    for target, arguments, code, said in (
        (out, (), 1, "exists already"),
        (tmp_path / "b", ("--preset", "huge"), 1, "no preset 'huge'; choose one of tiny, coder."),
        (tmp_path / "b", ("--weight", "read"), 2, "FAMILY=NUMBER"),
        (tmp_path / "b", ("--weight", "juggling=1"), 1, "there is no family 'juggling'"),
    ):
        assert main(("dataset", "generate", "--out", str(target), *arguments)) == code
        assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "b").exists()
