"""Generated datasets: the same every time, whole after a stop, and clean between their parts."""

from pathlib import Path

import pytest

from punie.training.data.dataset import open_dataset
from punie.training.data.leakage import measure_leakage
from punie.training.data.validation import validate_dataset
from punie.training.errors import TrainingError
from punie.training.generator import generate as module
from punie.training.generator.generate import GenerateOptions, generate
from punie.training.progress import Interrupted

SMALL = GenerateOptions(preset="tiny", train=12, valid=3, test=3, seed=5)


def test_equal_options_make_equal_bytes_whatever_stopped_or_helped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SHARD_EXAMPLES", 5)
    asked: list[int] = []

    def soon() -> bool:
        asked.append(1)
        return len(asked) > 3

    with pytest.raises(Interrupted):
        generate(SMALL, tmp_path / "one", stopped=soon, workers=1)
    assert not (tmp_path / "one").exists()
    one = generate(SMALL, tmp_path / "one", workers=1)
    two = generate(SMALL, tmp_path / "two", workers=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]
    for name in ("train.jsonl", "valid.jsonl", "test.jsonl", "dataset.json"):
        assert (one.folder / name).read_bytes() == (two.folder / name).read_bytes()
    assert sorted(path.name for path in one.folder.iterdir()) == sorted(
        ["train.jsonl", "valid.jsonl", "test.jsonl", "dataset.json"]
    )
    opened = open_dataset(one.folder)
    assert validate_dataset(opened).valid
    assert measure_leakage(opened) == []
    train = [*opened.examples("train")]
    assert len(train) == 12
    assert sum(not each.calls for each in train) == 2  # a fifth
    assert all(each.executed and each.source == "generated" for each in train)
    assert opened.prefix(train[0]).tools


def test_what_cannot_be_made_is_said_at_once(tmp_path: Path) -> None:
    for options, said in (
        (GenerateOptions(preset="huge"), "no preset 'huge'"),
        (GenerateOptions(weights={"juggling": 1}), "no family 'juggling'"),
        (GenerateOptions(train=0, valid=0, test=0), "No example"),
    ):
        with pytest.raises(TrainingError, match=said):
            generate(options, tmp_path / "out")
    assert not list(tmp_path.iterdir())
