"""Models that take much of the memory are shared by all projects."""

import json
from pathlib import Path

import pytest

from punie.cli.engine import is_shared
from punie.models.machine import MachineMemory
from punie.models.sharing import judge_sharing
from punie.settings import Settings

GB = 10**9


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A model of 10 GB that takes no place on the disk."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "unheard_of"}))
    (tmp_path / "tokenizer.json").write_text("{}")
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(10 * GB)
    return tmp_path


def machine(total: int, usable: int | None = None) -> MachineMemory:
    bound = "ram" if usable is None else "control_group"
    return MachineMemory(total, usable or total, total, bound)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("memory", "shared", "reason"),
    [
        (machine(24 * GB), True, "the model needs 11.0 GB of 24.0 GB"),
        (machine(32 * GB), False, "the model needs 11.0 GB of 32.0 GB"),
        (machine(64 * GB, usable=16 * GB), True, "the model needs 11.0 GB of 16.0 GB"),
    ],
)
def test_more_than_two_fifths_of_the_memory_are_shared(
    large: Path, memory: MachineMemory, shared: bool, reason: str
) -> None:
    judged = judge_sharing(str(large), memory)
    assert (judged.shared, judged.reason) == (shared, reason)


@pytest.mark.parametrize(
    "reference", [None, "punie-tiny", "openai:far", "/nowhere/at/all", "org/not-there"]
)
def test_small_far_and_absent_models_stay_in_process(reference: str | None) -> None:
    assert not judge_sharing(reference, machine(8 * GB)).shared


def test_the_setting_goes_before_the_judgement(large: Path) -> None:
    with (large / "model.safetensors").open("wb") as file:
        file.truncate(1 << 43)
    model = str(large)
    assert is_shared(Settings(model=model))
    assert not is_shared(Settings(model=model, engine="in-process"))
    assert not is_shared(Settings())
    assert is_shared(Settings(engine="shared"))
