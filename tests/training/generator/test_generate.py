"""Generated datasets: the same every time, whole after a stop, and clean between their parts."""

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from punie.tools.base import ToolLimits
from punie.training.data.dataset import open_dataset
from punie.training.data.leakage import measure_leakage
from punie.training.data.validation import validate_dataset
from punie.training.errors import TrainingError
from punie.training.generator import generate as module
from punie.training.generator import shards
from punie.training.generator.generate import GenerateOptions, generate
from punie.training.generator.presets import Mix
from punie.training.output import write_text
from punie.training.pipeline.step import Given
from punie.training.pipeline.steps.generate import STEP
from punie.training.progress import Interrupted
from punie.workspace.base import CommandRequest, CommandResult
from punie.workspace.local import LocalWorkspace

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
    size = sum(path.stat().st_size for path in one.folder.iterdir())
    told = STEP.need(SMALL, Given({}, {})).disk
    assert told is not None
    assert size / 1.5 <= told <= size * 1.5
    opened = open_dataset(one.folder)
    assert validate_dataset(opened).valid
    assert measure_leakage(opened) == []
    train = [*opened.examples("train")]
    assert len(train) == 12
    assert sum(not each.calls for each in train) == 2  # a fifth
    assert all(each.executed and each.source == "generated" for each in train)
    assert opened.prefix(train[0]).tools


def test_a_machine_that_stood_still_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow: list[str] = []

    class Stalling(LocalWorkspace):
        async def run(self, request: CommandRequest, *more: Any) -> CommandResult:
            if not slow:
                slow.append(request.command)
                request = replace(request, command=f"sleep 30; {request.command}")
            return await super().run(request, *more)

    monkeypatch.setattr(shards, "_SHORTEST_LIMIT", 1.0)
    monkeypatch.setattr(Mix, "limits", property(lambda mix: ToolLimits(command_seconds=1)))
    options = GenerateOptions(
        preset="tiny", train=6, valid=0, test=0, seed=7, weights={"run_script": 1000}
    )
    due = generate(options, tmp_path / "due", workers=1)
    monkeypatch.setattr(shards, "LocalWorkspace", Stalling)
    made = generate(options, tmp_path / "made", workers=1)
    assert slow
    for name in ("train.jsonl", "dataset.json"):
        assert (made.folder / name).read_bytes() == (due.folder / name).read_bytes()


def test_a_machine_that_stands_still_again_and_again_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "_SHORTEST_LIMIT", 0.0)
    monkeypatch.setattr(shards, "_PLAYS", 1)
    with pytest.raises(TrainingError, match="The machine is too busy"):
        generate(SMALL, tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_made_is_said_at_once(tmp_path: Path) -> None:
    for options, said in (
        (GenerateOptions(preset="huge"), "no preset 'huge'"),
        (GenerateOptions(weights={"juggling": 1}), "no family 'juggling'"),
        (GenerateOptions(train=0, valid=0, test=0), "No example"),
    ):
        with pytest.raises(TrainingError, match=said):
            generate(options, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_loses_nothing_that_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SHARD_EXAMPLES", 2)
    options = GenerateOptions(preset="tiny", train=4, valid=0, test=0, weights={"run_tests": 0})
    written: list[Path] = []
    write = write_text

    def full(file: Path, text: str) -> None:
        if written:
            raise OSError(errno.ENOSPC, "No space left on device", str(file))
        written.append(file)
        write(file, text)

    monkeypatch.setattr(module, "write_text", full)
    with pytest.raises(TrainingError, match="disk is full"):
        generate(options, tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()
    again: list[Path] = []

    def empty(file: Path, text: str) -> None:
        again.append(file)
        write(file, text)

    monkeypatch.setattr(module, "write_text", empty)
    made = generate(options, tmp_path / "out", workers=1)
    assert made.manifest.parts["train"].examples == 4
    assert again
    assert written[0] not in again
