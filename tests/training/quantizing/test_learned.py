"""Methods that look at activations: they work on our examples, help, and are refused in time."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from punie.models.catalog import read_json_object
from punie.models.machine import MachineMemory
from punie.models.mlx.library import build_model
from punie.training.comparing import Comparison
from punie.training.data.dataset import Manifest, write_dataset
from punie.training.data.example import Example
from punie.training.errors import TrainingError
from punie.training.gates.conversion import ConversionLimits, conversion_gate
from punie.training.progress import Interrupted, Progress
from punie.training.quantizing import learned
from punie.training.quantizing.calibration import packed_rows
from punie.training.quantizing.estimate import estimate_conversion
from punie.training.quantizing.layers import plan_layers
from punie.training.quantizing.options import QuantizeOptions
from punie.training.quantizing.report import read_report
from punie.training.quantizing.run import quantize
from tests.assets import ASSETS, needs_assets
from tests.training.sample_conversations import SHAPE, conversations
from tests.training.sample_models import write_model
from tests.training.test_layerwise import EXPERTS

SMALL: dict[str, Any] = {
    "bits": 2,
    "group_size": 32,
    "calibration": 16,
    "calibration_length": 48,
    "learning_rate": 1e-3,
}


def options(**given: Any) -> QuantizeOptions:
    return QuantizeOptions.model_validate({**SMALL, **given})


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of which every layer can be packed in groups of 32."""
    folder = tmp_path_factory.mktemp("base") / "model"
    return write_model(folder, shape=replace(SHAPE, intermediate_size=64))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "dataset"
    parts = {
        name: [Example.model_validate({"messages": each}) for each in conversations(count, seed)]
        for name, count, seed in (("train", 24, 1), ("test", 6, 2))
    }
    write_dataset(folder, Manifest(made_by="test"), parts)
    return folder


@pytest.fixture(scope="module")
def plain(base: Path, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    out = tmp_path_factory.mktemp("plain") / "out"
    return compared(quantize(options(), base, dataset, out))


def compared(folder: Path) -> Comparison:
    found = read_report(folder)
    assert found is not None
    assert found.comparison is not None
    return found.comparison


@pytest.mark.parametrize("method", ["dwq", "awq", "gptq"])
def test_answers_are_nearer_than_by_rounding_alone(
    tmp_path: Path, base: Path, dataset: Path, plain: Comparison, method: str
) -> None:
    seen: list[Progress] = []
    out = quantize(options(method=method), base, dataset, tmp_path / "out", seen.append)
    assert compared(out).divergence < 0.9 * plain.divergence
    told = read_json_object(out / "config.json")["quantization"]
    assert told["bits"] == 2
    assert any("batches" in each.unit for each in seen)
    report = conversion_gate(base, out, dataset, ConversionLimits(agreement=0.0))
    assert report.passed, report.lines()


def test_dynamic_comes_to_the_bits_that_are_wanted(
    tmp_path: Path, base: Path, dataset: Path, plain: Comparison
) -> None:
    chosen = options(method="dynamic", high_bits=8, target_bits=5.0)
    out = quantize(chosen, base, dataset, tmp_path / "out")
    found = read_report(out)
    assert found is not None
    assert 3.5 < found.after.bits_per_weight < 5.6
    told = read_json_object(out / "config.json")["quantization"]
    assert {each["bits"] for each in told.values() if isinstance(each, dict)} == {8}
    assert compared(out).divergence < plain.divergence
    report = conversion_gate(base, out, dataset, ConversionLimits(agreement=0.0))
    assert report.passed, report.lines()


def test_the_same_call_learns_the_same(tmp_path: Path, base: Path, dataset: Path) -> None:
    one, two = (
        quantize(options(method="dwq"), base, dataset, tmp_path / name) for name in ("a", "b")
    )
    for file in one.iterdir():
        assert file.read_bytes() == (two / file.name).read_bytes(), file.name


def test_it_can_be_stopped_while_it_learns(tmp_path: Path, base: Path, dataset: Path) -> None:
    dwq: Any = importlib.import_module("mlx_lm.quant.dwq")
    bars = dwq.tqdm
    asked: list[int] = []

    def later() -> bool:
        asked.append(1)
        return len(asked) > 6

    with pytest.raises(Interrupted, match="begins anew"):
        quantize(options(method="dwq"), base, dataset, tmp_path / "out", stopped=later)
    assert dwq.tqdm is bars
    assert not (tmp_path / "out").exists()
    quantize(options(method="dwq"), base, dataset, tmp_path / "out")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"method": "dwq", "bits": 8}, "nothing to learn at 8 bits"),
        ({"method": "gptq", "bits": 3}, "2, 4 or 8 bits"),
        ({"method": "awq", "rules": ({"layers": "q_proj", "bits": 8},)}, "leave the recipe"),
        ({"method": "dwq", "bits": None, "mode": "mxfp4"}, "for the mode affine"),
        ({"method": "dynamic", "bits": 8}, "not more than 8"),
        ({"method": "dwq", "batch": 9}, "needs 18 examples"),
        ({"method": "gptq", "calibration": 1, "calibration_length": 300}, "tokens to learn from"),
    ],
)
def test_what_a_method_cannot_do_is_refused(
    tmp_path: Path, base: Path, dataset: Path, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(TrainingError) as caught:
        quantize(options(**given), base, dataset, tmp_path / "out")
    assert said in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_without_a_dataset_nothing_is_learned(tmp_path: Path, base: Path) -> None:
    with pytest.raises(TrainingError, match="name a dataset"):
        quantize(options(method="dwq"), base, None, tmp_path / "out")


def test_layers_that_cannot_be_left_out_are_named(tmp_path: Path, dataset: Path) -> None:
    odd = write_model(tmp_path / "odd")
    with pytest.raises(TrainingError, match=r"down_proj is no multiple of 32"):
        quantize(options(method="gptq"), odd, dataset, tmp_path / "out")


@pytest.mark.parametrize(("method", "said"), [("awq", "no awq for"), ("gptq", "packs all layers")])
def test_architectures_without_a_method_are_told(method: Any, said: str) -> None:
    model = build_model(EXPERTS | {"hidden_size": 64})
    chosen = options(method=method)
    with pytest.raises(TrainingError, match=said):
        learned.check_learnable(method, chosen, EXPERTS, plan_layers(model, chosen))


def test_too_little_memory_is_told_before(
    tmp_path: Path, base: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small: Callable[..., MachineMemory] = lambda **_: MachineMemory(10**6, 10**6, 10**6, "ram")  # noqa: E731
    monkeypatch.setattr(learned, "machine_memory", small)
    with pytest.raises(TrainingError, match="of memory"):
        quantize(options(method="dwq"), base, dataset, tmp_path / "out")


@needs_assets
def test_the_30b_needs_a_larger_machine_to_learn() -> None:
    config = read_json_object(ASSETS / "qwen3-coder-30b-a3b" / "config.json")
    rounded = estimate_conversion(QuantizeOptions(bits=4), config)
    learnt = estimate_conversion(QuantizeOptions(bits=4, method="dwq"), config)
    assert learnt.after == rounded.after
    assert 30e9 < learnt.memory < 128e9


def test_rows_are_laid_end_to_end() -> None:
    assert packed_rows([[1, 2, 3], [4], [5, 6, 7]], 3).tolist() == [[1, 2, 3], [4, 5, 6]]
