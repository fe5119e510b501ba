"""A conversion needs memory for a shard and a layer, not for the model."""

from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from punie.models.mlx.library import load_model
from punie.training import model_folder
from punie.training.data.dataset import Manifest, write_dataset
from punie.training.data.example import Example
from punie.training.data.sequences import TrainingSequence
from punie.training.fusing import FuseOptions, fuse
from punie.training.gates.conversion import ConversionLimits, conversion_gate
from punie.training.gates.report import GateReport
from punie.training.layerwise import last_states
from punie.training.pretraining.tiny_architecture import TinyShape
from punie.training.quantizing.options import QuantizeOptions
from punie.training.quantizing.run import quantize
from tests.training.sample_conversations import conversations
from tests.training.sample_models import write_adapter, write_model

SHAPE = TinyShape(vocab_size=300, layers=16, intermediate_size=512)
"""Sixteen layers of 2.2 MB."""
LAYER = 4 * (256 * (2 * 8 + 2 * 2) * 32 + 3 * 256 * 512)
WHOLE = 16 * LAYER
SHARD = 2 << 20


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("base") / "model", shape=SHAPE)


def peak(do: Any) -> int:
    """Return the bytes that MLX used at most for it, beyond what was in use before."""
    mx.clear_cache()
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    do()
    return int(mx.get_peak_memory() - before)


def test_fusing_and_quantising(tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_folder.write_weights, "__kwdefaults__", {"shard_bytes": SHARD})
    adapter = write_adapter(tmp_path / "adapter", base)
    used = peak(lambda: fuse(FuseOptions(), base, adapter, tmp_path / "fused"))
    assert SHARD < used < SHARD + 2 * LAYER < WHOLE / 4
    used = peak(lambda: quantize(QuantizeOptions(bits=8), base, None, tmp_path / "packed"))
    assert SHARD / 2 < used < SHARD + 2 * LAYER


def test_running_layer_by_layer(base: Path) -> None:
    rows = [TrainingSequence(list(range(20)), [True] * 20)] * 4
    used = peak(lambda: last_states(load_model(base, lazy=True)[0], rows, "running"))
    assert used < 3 * LAYER < WHOLE / 4
    # As a whole it needs all of it.
    assert peak(lambda: load_model(base)) >= WHOLE


def test_the_gate(tmp_path: Path, base: Path) -> None:
    dataset = tmp_path / "dataset"
    examples = [Example.model_validate({"messages": each}) for each in conversations(2)]
    write_dataset(dataset, Manifest(made_by="test"), {"test": examples})
    limits = ConversionLimits(agreement=0.0)
    out = quantize(QuantizeOptions(bits=8), base, None, tmp_path / "packed")
    reports: list[GateReport] = []
    used = peak(lambda: reports.append(conversion_gate(base, out, dataset, limits)))
    assert reports[0].passed, reports[0].lines()
    assert used < 4 * LAYER < WHOLE / 3
