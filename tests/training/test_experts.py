"""A mixture of experts as it is published, each expert by itself, goes the whole way."""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from punie.models.catalog import read_json_object
from punie.models.mlx.library import build_model, load_model
from punie.training.data.dataset import Manifest, write_dataset
from punie.training.data.example import Example
from punie.training.fusing import FuseOptions, fuse, load_with_adapter, read_adapter
from punie.training.gates.conversion import ConversionLimits, conversion_gate
from punie.training.model_folder import tensors_of
from punie.training.quantizing.options import QuantizeOptions
from punie.training.quantizing.report import measured_size
from punie.training.quantizing.run import quantize
from tests.training.sample_conversations import SHAPE, conversations, model_folder
from tests.training.sample_models import logits, logits_of, write_adapter
from tests.training.test_layerwise import EXPERTS

KEYS = ("self_attn.v_proj", "mlp.switch_mlp.down_proj")


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A folder with weights named as in the models that are published, and a router."""
    folder = tmp_path / "published"
    model_folder(folder)
    config = read_json_object(folder / "config.json") | EXPERTS
    # Wide enough for the groups of 64 that mlx-lm gives to routers.
    config |= {"vocab_size": SHAPE.vocab_size, "hidden_size": 64}
    (folder / "config.json").write_text(json.dumps(config))
    mx.random.seed(5)
    weights = tensors_of(build_model(config))
    apart: dict[str, mx.array] = {}
    for name, tensor in weights.items():
        if ".switch_mlp." in name:
            before, _, leaf = name.partition(".switch_mlp.")
            for number in range(tensor.shape[0]):
                apart[f"{before}.experts.{number}.{leaf}"] = tensor[number]
        else:
            apart[name] = tensor
    mx.save_safetensors(str(folder / "model.safetensors"), apart, metadata={"format": "pt"})
    return folder


def test_it_is_fused_quantised_and_passes_the_gate(tmp_path: Path, published: Path) -> None:
    dataset = tmp_path / "dataset"
    examples = [Example.model_validate({"messages": each}) for each in conversations(4)]
    write_dataset(dataset, Manifest(made_by="test"), {"test": examples})
    limits = ConversionLimits(agreement=0.0)
    adapter = write_adapter(tmp_path / "adapter", published, keys=KEYS)
    together = logits(load_with_adapter(published, read_adapter(adapter)))

    fused = fuse(FuseOptions(), published, adapter, tmp_path / "fused")
    assert mx.allclose(logits_of(fused), together, atol=1e-4).item()
    assert not mx.allclose(logits_of(published), together, atol=1e-2).item()
    report = conversion_gate(published, fused, dataset, limits, adapter=adapter)
    assert report.passed, report.lines()

    packed = quantize(QuantizeOptions(bits=4, group_size=32), fused, dataset, tmp_path / "packed")
    told = read_json_object(packed / "config.json")["quantization"]
    # Routers keep the 8 bits that mlx-lm gives them.
    assert {each["bits"] for each in told.values() if isinstance(each, dict)} == {8}
    assert all(".mlp.gate" in name for name in told if "." in name)
    assert 5 < measured_size(packed).bits_per_weight < 7
    report = conversion_gate(fused, packed, dataset, limits)
    assert report.passed, report.lines()
    # And straight from what is published.
    straight = quantize(QuantizeOptions(bits=4, group_size=32), published, None, tmp_path / "q")
    report = conversion_gate(published, straight, dataset, limits)
    assert report.passed, report.lines()
    learned: dict[str, Any] = {"bits": 3, "group_size": 32, "method": "dwq", "batch": 1}
    out = quantize(QuantizeOptions.model_validate(learned), fused, dataset, tmp_path / "dwq")
    assert isinstance(load_model(out), tuple)
