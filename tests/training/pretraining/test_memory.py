"""Training from nothing needs the memory that a plan tells, and keeps no lists of numbers."""

import tracemalloc
from pathlib import Path

import mlx.core as mx
import pytest

from punie.models.mlx.chat_format import ChatFormat
from punie.training.data.dataset import open_dataset
from punie.training.encoding import encode_part
from punie.training.pipeline.step import Given
from punie.training.pipeline.steps.pretrain import STEP
from punie.training.pretraining.run import PretrainOptions, pretrain
from punie.training.progress import Progress
from tests.models.held_memory import held_memory
from tests.training.sample_conversations import write_data

pytestmark = pytest.mark.usefixtures("uncompiled")

_FACTOR = 1.6
"""How far an estimate may be from what is measured, either way."""


@pytest.mark.parametrize(
    "shape",
    [
        {"layers": 2, "hidden": 64, "heads": 4, "inner": 128},
        {"layers": 4, "hidden": 128, "heads": 8, "inner": 320, "tokens": 1024},
    ],
)
def test_a_plan_tells_about_the_measured_peak(tmp_path: Path, shape: dict[str, int]) -> None:
    data = write_data(tmp_path / "data")
    options = PretrainOptions(vocab=320, steps=3, **shape)
    pretrain(options.model_copy(update={"steps": 1}), data, tmp_path / "first")
    read = encode_part(ChatFormat.load(tmp_path / "first"), open_dataset(data), "train", 2048)
    held = held_memory()
    mx.reset_peak_memory()
    pretrain(options, data, tmp_path / "model")
    peak = mx.get_peak_memory() - held
    told = STEP.need(options, Given({}, {}, longest=read.longest)).memory
    assert told is not None
    assert peak / _FACTOR <= told <= peak * _FACTOR


def test_conversations_are_kept_as_arrays(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", train=1500)
    held = 0

    def measure(progress: Progress) -> None:
        nonlocal held
        if progress.doing == "training":
            held = tracemalloc.get_traced_memory()[0] - before

    options = PretrainOptions(vocab=320, layers=1, hidden=16, heads=2, inner=32, steps=1)
    # What is loaded for good is not counted.
    pretrain(options, data, tmp_path / "first")
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        pretrain(options, data, tmp_path / "model", measure)
    finally:
        tracemalloc.stop()
    read = encode_part(ChatFormat.load(tmp_path / "model"), open_dataset(data), "train", 2048)
    tokens = sum(len(each.ids) for each in read.sequences)
    # A list takes 8 bytes for a number, and 28 for each that is large.
    assert held / tokens < 15
