"""The conversion gate passes what was made well and fails on every fault that is planted."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie.models.architecture import Quantization
from punie.models.catalog import bundled_directory
from punie.models.mlx.library import load_model
from punie.training.data.dataset import Manifest, write_dataset
from punie.training.data.example import Example
from punie.training.errors import TrainingError
from punie.training.fusing import FuseOptions, fuse
from punie.training.gates.conversion import (
    ConversionLimits,
    conversion_gate,
    usual_limits,
)
from punie.training.gates.report import GateReport
from punie.training.gates.weight_faults import packing_fault
from punie.training.model_folder import tensors_of
from punie.training.progress import Interrupted
from punie.training.quantizing.options import QuantizeOptions
from punie.training.quantizing.run import quantize
from tests.training.sample_conversations import conversations
from tests.training.sample_models import write_adapter, write_model

LAYER = "model.layers.1.self_attn.q_proj"
LIMITS = ConversionLimits(agreement=0.0)
"""Random weights have no favourite among tokens, so which one is ahead tells nothing of them."""


class Made:
    """A model, an adapter on it, and what came of them."""

    def __init__(self, folder: Path) -> None:
        self.base = write_model(folder / "base")
        self.other = write_model(folder / "other", seed=9)
        self.adapter = write_adapter(folder / "adapter", self.base)
        self.fused = fuse(FuseOptions(), self.base, self.adapter, folder / "fused")
        options = QuantizeOptions(bits=4, group_size=32)
        self.packed = quantize(options, self.base, None, folder / "packed")
        self.dataset = folder / "dataset"
        examples = [Example.model_validate({"messages": each}) for each in conversations(8)]
        write_dataset(self.dataset, Manifest(made_by="test"), {"test": examples})

    def gate_fused(self, after: Path) -> GateReport:
        return conversion_gate(self.base, after, self.dataset, LIMITS, adapter=self.adapter)

    def gate_packed(self, after: Path) -> GateReport:
        return conversion_gate(self.base, after, self.dataset, LIMITS)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made"))


def failed(report: GateReport) -> set[str]:
    assert report.passed == (not report.failures)
    return {check.name for check in report.failures}


def change(folder: Path, alter: Callable[[dict[str, mx.array]], object]) -> None:
    """Alter the weights of a model, whatever its punie-model.json says."""
    weights: Any = mx.load(str(folder / "model.safetensors"))
    mx.eval(weights)
    alter(weights)
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
    (folder / "punie-model.json").unlink(missing_ok=True)


def test_what_was_made_well_passes(made: Made) -> None:
    for report in (made.gate_fused(made.fused), made.gate_packed(made.packed)):
        assert report.passed, report.lines()
        assert {check.name for check in report.checks} == {
            "files",
            "tokenizer and template",
            "settings",
            "origin",
            "shapes",
            "weights",
            "same next token",
            "divergence",
            "perplexity",
        }


@pytest.mark.parametrize("bits", [2, 3, 5, 6, 8])
def test_every_number_of_bits_passes_on_its_weights(made: Made, tmp_path: Path, bits: int) -> None:
    options = QuantizeOptions.model_validate({"bits": bits, "group_size": 32})
    out = quantize(options, made.base, None, tmp_path / "out")
    assert failed(made.gate_packed(out)) == set()


@pytest.mark.parametrize("mode", ["mxfp4", "mxfp8", "nvfp4"])
def test_floating_point_modes_pass(made: Made, tmp_path: Path, mode: str) -> None:
    out = quantize(QuantizeOptions.model_validate({"mode": mode}), made.base, None, tmp_path / "o")
    assert failed(made.gate_packed(out)) == set()


def test_exceptions_pass(made: Made, tmp_path: Path) -> None:
    rules = ({"layers": r"layers\.0\.", "bits": None}, {"layers": "embed", "bits": 8})
    given = {"bits": 3, "group_size": 32, "rules": rules}
    out = quantize(QuantizeOptions.model_validate(given), made.base, None, tmp_path / "out")
    assert failed(made.gate_packed(out)) == set()


def test_fusing_into_and_out_of_a_quantised_base_passes(made: Made, tmp_path: Path) -> None:
    into = fuse(FuseOptions(into_quantized=True), made.packed, made.adapter, tmp_path / "into")
    out = fuse(FuseOptions(), made.packed, made.adapter, tmp_path / "out")
    for after in (into, out):
        report = conversion_gate(made.packed, after, made.dataset, LIMITS, adapter=made.adapter)
        assert failed(report) == set()
    # Not so if the adapter is not in it.
    unfused = copied(made.packed, tmp_path)
    report = conversion_gate(made.packed, unfused, made.dataset, LIMITS, adapter=made.adapter)
    assert "weights" in failed(report)


@st.composite
def weights(draw: st.DrawFn) -> mx.array:
    """Weights of all sizes: alike, far apart, nearly nothing, with one that stands out."""
    numbers = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = 10.0 ** draw(st.integers(-12, 3))
    found = size * numbers.standard_normal((4, 128)) + draw(st.sampled_from([0.0, size, 50 * size]))
    if draw(st.booleans()):
        found[1] = draw(st.sampled_from([0.0, size, -size]))
    if draw(st.booleans()):
        found[2, 5] *= 100
    dtype = draw(st.sampled_from([mx.float32, mx.bfloat16, mx.float16]))
    return mx.array(np.clip(found, -6e4, 6e4)).astype(dtype)


@settings(max_examples=60, deadline=None)
@given(weights(), st.sampled_from([2, 3, 4, 5, 6, 8]), st.sampled_from([32, 64, 128]))
def test_what_mlx_packs_is_never_taken_for_a_fault(weight: mx.array, bits: int, group: int) -> None:
    parts = mx.quantize(weight, group_size=group, bits=bits)
    assert packing_fault(weight, parts, Quantization(bits, group)) is None


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([2, 3, 4, 5, 6, 8]), st.sampled_from([0.5, 1.6, -1]))
def test_a_wrong_scale_is_always_a_fault(seed: int, bits: int, factor: float) -> None:
    weight = mx.random.normal((4, 128), key=mx.random.key(seed))
    numbers, scales, biases = mx.quantize(weight, group_size=64, bits=bits)
    scales[seed % 4, 1] = scales[seed % 4, 1] * factor
    assert packing_fault(weight, (numbers, scales, biases), Quantization(bits, 64)) is not None


def test_half_precision_passes(tmp_path: Path, made: Made) -> None:
    base = write_model(tmp_path / "base", dtype=mx.bfloat16)
    out = quantize(QuantizeOptions(bits=8, group_size=32), base, None, tmp_path / "out")
    assert failed(conversion_gate(base, out, made.dataset, LIMITS)) == set()
    adapter = write_adapter(tmp_path / "adapter", base)
    out = fuse(FuseOptions(), base, adapter, tmp_path / "fused")
    report = conversion_gate(base, out, made.dataset, LIMITS, adapter=adapter)
    assert failed(report) == set()


def test_the_bundled_model_passes_with_the_usual_limits(made: Made, tmp_path: Path) -> None:
    base = bundled_directory()
    limits = ConversionLimits(examples=3)
    for bits in (2, 4):
        options = QuantizeOptions.model_validate({"bits": bits})
        quantize(options, base, None, tmp_path / f"q{bits}")
    report = conversion_gate(base, tmp_path / "q4", made.dataset, limits)
    assert report.passed, report.lines()
    # What 2 bits do is more than 8 bits may.
    agreement, divergence, ratio = usual_limits(Quantization(8, 64))
    strict = limits.model_copy(
        update={"agreement": agreement, "divergence": divergence, "perplexity_ratio": ratio}
    )
    assert failed(conversion_gate(base, tmp_path / "q2", made.dataset, strict))


def copied(folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(folder, tmp_path / "after")
    return tmp_path / "after"


def test_a_missing_shard_fails(made: Made, tmp_path: Path) -> None:
    after = copied(made.fused, tmp_path)
    (after / "model.safetensors").rename(after / "model-00001-of-00002.safetensors")
    report = made.gate_fused(after)
    assert failed(report) == {"files"}
    assert "missing" in report.failures[0].found


def test_a_file_that_is_cut_off_fails(made: Made, tmp_path: Path) -> None:
    after = copied(made.packed, tmp_path)
    whole = (after / "model.safetensors").read_bytes()
    (after / "model.safetensors").write_bytes(whole[:-1])
    assert failed(made.gate_packed(after)) == {"files"}


def test_one_wrong_scale_fails(made: Made, tmp_path: Path) -> None:
    after = copied(made.packed, tmp_path)

    def alter(weights: dict[str, mx.array]) -> None:
        weights[f"{LAYER}.scales"][3, 0] = weights[f"{LAYER}.scales"][3, 0] * 1.5

    change(after, alter)
    report = made.gate_packed(after)
    assert "weights" in failed(report)
    assert LAYER in report.failures[0].found


def test_a_scale_that_is_no_number_fails(made: Made, tmp_path: Path) -> None:
    after = copied(made.packed, tmp_path)

    def alter(weights: dict[str, mx.array]) -> None:
        weights[f"{LAYER}.scales"][0, 0] = float("nan")

    change(after, alter)
    assert {"weights", "answers"} <= failed(made.gate_packed(after))


def test_a_tensor_of_another_model_fails(made: Made, tmp_path: Path) -> None:
    other = tensors_of(load_model(made.other)[0])
    after = copied(made.fused, tmp_path)
    change(after, lambda weights: weights.update({f"{LAYER}.weight": other[f"{LAYER}.weight"]}))
    report = made.gate_fused(after)
    assert "weights" in failed(report)
    assert LAYER in report.failures[0].found


def test_another_shape_fails(made: Made, tmp_path: Path) -> None:
    after = copied(made.fused, tmp_path)
    change(after, lambda weights: weights.update({f"{LAYER}.weight": mx.zeros((3, 3))}))
    assert failed(made.gate_fused(after)) == {"shapes"}


def test_another_type_fails(made: Made, tmp_path: Path) -> None:
    after = copied(made.fused, tmp_path)

    def alter(weights: dict[str, mx.array]) -> None:
        weights[f"{LAYER}.weight"] = weights[f"{LAYER}.weight"].astype(mx.float16)

    change(after, alter)
    report = made.gate_fused(after)
    assert failed(report) == {"shapes"}
    assert "float16" in report.failures[0].found


def test_an_adapter_that_was_not_fused_fails(made: Made, tmp_path: Path) -> None:
    after = copied(made.base, tmp_path)
    report = made.gate_fused(after)
    assert {"weights", "divergence"} <= failed(report)


def test_a_slight_adapter_that_was_not_fused_fails_in_half_precision(
    made: Made, tmp_path: Path
) -> None:
    base = write_model(tmp_path / "base", dtype=mx.bfloat16)
    adapter = write_adapter(tmp_path / "adapter", base, size=0.001)
    fused = fuse(FuseOptions(), base, adapter, tmp_path / "fused")
    gate = partial(conversion_gate, base, dataset=made.dataset, limits=LIMITS, adapter=adapter)
    assert failed(gate(fused)) == set()
    assert "weights" in failed(gate(copied(base, tmp_path)))


def test_damage_after_the_fact_fails(made: Made, tmp_path: Path) -> None:
    after = copied(made.packed, tmp_path)
    record = (after / "punie-model.json").read_bytes()
    change(after, lambda weights: weights.update({"model.norm.weight": mx.ones((32,)) * 1.0001}))
    (after / "punie-model.json").write_bytes(record)
    report = made.gate_packed(after)
    assert "origin" in failed(report)
    assert "not those that were written" in report.failures[0].found


def test_a_changed_template_or_setting_fails(made: Made, tmp_path: Path) -> None:
    after = copied(made.packed, tmp_path)
    (after / "chat_template.jinja").write_text("{{ messages }}")
    config = json.loads((after / "config.json").read_text())
    config["rope_theta"] = 5.0
    (after / "config.json").write_text(json.dumps(config))
    report = made.gate_packed(after)
    assert {"tokenizer and template", "settings"} <= failed(report)
    assert "rope_theta" in str(report.failures)
    (after / "tokenizer_config.json").unlink()
    assert "tokenizer_config.json" in str(made.gate_packed(after).failures)


def test_a_model_of_another_base_fails(made: Made) -> None:
    report = conversion_gate(made.other, made.packed, made.dataset)
    assert {"origin", "weights"} <= failed(report)


def test_limits_are_what_is_asked_for(made: Made) -> None:
    limits = ConversionLimits(divergence=0.0, agreement=1.0, perplexity_ratio=0.5, examples=4)
    report = conversion_gate(made.base, made.packed, made.dataset, limits)
    assert {"divergence", "perplexity"} <= failed(report)
    (divergence,) = [check for check in report.checks if check.name == "divergence"]
    assert divergence.limit == 0.0
    assert divergence.measured is not None
    assert divergence.measured > 0


def test_without_its_adapter_a_fused_model_is_not_judged(made: Made, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="name that adapter"):
        conversion_gate(made.base, made.fused, made.dataset)
    with pytest.raises(TrainingError, match="no dataset"):
        conversion_gate(made.base, made.packed, tmp_path)
    with pytest.raises(Interrupted):
        conversion_gate(made.base, made.packed, made.dataset, stopped=lambda: True)
