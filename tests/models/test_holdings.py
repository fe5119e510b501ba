"""Processes tell each other which models they hold; a killed one holds nothing."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from punie.models.catalog import ModelUnavailable, resolve_model
from punie.models.holdings import Holdings
from punie.models.load import _open_models, close_models, open_model
from punie.models.options import EngineOptions

_HOLD = """
import sys, time
from pathlib import Path
from punie.models.holdings import Holdings
Holdings(Path(sys.argv[1])).claim(Path("/big"), int(sys.argv[2]), 10**12)
print(flush=True)
time.sleep(60)
"""


@contextmanager
def another(folder: Path, size: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a process that holds a model of `size` bytes."""
    command = [sys.executable, "-c", _HOLD, str(folder), str(size)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process
        finally:
            process.kill()


def held(folder: Path) -> int:
    return len(list(folder.glob("*.json")))


def test_one_too_many_is_refused_until_the_other_process_has_gone(tmp_path: Path) -> None:
    ours = Holdings(tmp_path)
    with another(tmp_path, 60) as other:
        ours.claim(Path("/small"), 30, limit=100)
        with pytest.raises(ModelUnavailable) as refused:
            ours.claim(Path("/m"), 50, limit=100)
        assert str(refused.value) == (
            "There is no memory for the model in /m beside the one that another Punie (process "
            f"{other.pid}) holds; set engine to shared in your settings, so that all projects use "
            "one, or close the other project."
        )
        assert held(tmp_path) == 2
        other.kill()
        other.wait()
        ours.claim(Path("/m"), 50, limit=100)
    assert held(tmp_path) == 2
    for model in ("/small", "/m", "/never"):
        ours.release(Path(model))
    assert held(tmp_path) == 0


def test_what_this_process_holds_besides_counts(tmp_path: Path) -> None:
    with another(tmp_path, 60), pytest.raises(ModelUnavailable):
        Holdings(tmp_path).claim(Path("/m"), 30, limit=100, own=20)


def test_alone_a_process_may_load_what_it_likes(tmp_path: Path) -> None:
    # Whether a model fits at all is judged elsewhere.
    Holdings(tmp_path).claim(Path("/m"), 200, limit=100)


def test_a_folder_that_cannot_be_written_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ours = Holdings(tmp_path / "file")
    ours.claim(Path("/m"), 1, limit=1)
    ours.release(Path("/m"))


@pytest.mark.anyio
async def test_a_model_is_held_as_long_as_its_weights_are(
    model_directory: Path, tmp_path: Path
) -> None:
    choice = resolve_model(str(model_directory))
    options = EngineOptions(holdings_directory=tmp_path, memory_limit=2 * 10**9)
    assert choice.path is not None
    with another(tmp_path, 2 * 10**9), pytest.raises(ModelUnavailable, match="another Punie"):
        await open_model(choice, options=options)
    await open_model(choice, options=options)
    try:
        assert held(tmp_path) == 1
        engine = _open_models.models[choice.path].engine
        assert await engine.rest()
        assert held(tmp_path) == 0
        assert engine.before_waking is not None
        await engine.before_waking()
        assert held(tmp_path) == 1
    finally:
        await close_models()
        _open_models.let_go(choice.path, options)
    assert held(tmp_path) == 0


def test_what_a_killed_process_left_goes_when_somebody_looks(tmp_path: Path) -> None:
    with another(tmp_path, 10):
        pass
    assert held(tmp_path) == 1
    Holdings(tmp_path).claim(Path("/m"), 1, limit=1)
    assert [file.name.partition("-")[0] for file in tmp_path.glob("*.json")] == [str(os.getpid())]
