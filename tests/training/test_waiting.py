"""Only one training runs at a time; another one says for whom it waits, and can be stopped."""

import os
import re
from pathlib import Path

import pytest

from punie.training.errors import TrainingError
from punie.training.progress import Interrupted, Progress, never
from punie.training.waiting import whole_machine

THIS = f"waiting for process {os.getpid()}, which trains or converts a model"


@pytest.fixture(autouse=True)
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def test_the_second_waits_until_the_first_ends(tmp_path: Path) -> None:
    heard: list[Progress] = []
    with whole_machine(heard.append, never):
        with (
            pytest.raises(Interrupted, match=re.escape(f"Stopped while it waited{THIS[7:]}.")),
            whole_machine(heard.append, lambda: len(heard) > 1),
        ):
            raise AssertionError
        assert [(each.doing, each.waits) for each in heard] == [(THIS, True)] * 2
    heard.clear()
    with whole_machine(heard.append, never):
        pass
    assert heard == []


def test_an_error_inside_is_not_taken_for_a_held_lock() -> None:
    heard: list[Progress] = []
    with pytest.raises(BlockingIOError), whole_machine(heard.append, never):
        raise BlockingIOError
    assert heard == []


def test_a_place_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    with (
        pytest.raises(TrainingError, match="cannot be written"),
        whole_machine(lambda _: None, never),
    ):
        raise AssertionError
