import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from punie.models.catalog import read_json_object
from punie.models.weights import read_weights
from punie.training.errors import TrainingError
from punie.training.fusing import FuseOptions
from punie.training.model_folder import SHARD_BYTES
from punie.training.quantizing.estimate import estimate_conversion, parameters_of
from punie.training.quantizing.options import QuantizeOptions
from punie.training.quantizing.report import measured_size
from punie.training.quantizing.run import quantize
from tests.assets import ASSETS, needs_assets
from tests.training.sample_models import write_model


def options(**given: Any) -> QuantizeOptions:
    return QuantizeOptions.model_validate(given)


def coder() -> dict[str, Any]:
    return read_json_object(ASSETS / "qwen3-coder-30b-a3b" / "config.json")


@needs_assets
@pytest.mark.parametrize(
    ("bits", "gigabytes", "per_weight"),
    # As the published 4-bit model is (17.2 GB), and as 5 bits were measured (5.501).
    [(4, 17.2, 4.502), (5, 21.0, 5.501), (8, 32.4, 8.5)],
)
def test_the_sizes_of_the_30b(bits: int, gigabytes: float, per_weight: float) -> None:
    found = estimate_conversion(options(bits=bits), coder())
    assert found.parameters == 30_532_122_624
    assert found.before == 2 * found.parameters
    assert round(found.after / 1e9, 1) == gigabytes
    assert round(found.bits_per_weight, 3) == per_weight
    assert found.left_out == ()


@needs_assets
def test_the_30b_is_converted_in_the_memory_of_a_small_mac() -> None:
    for chosen in (options(bits=4), FuseOptions()):
        assert estimate_conversion(chosen, coder()).memory < 8e9
    assert estimate_conversion(FuseOptions(), coder()).after == 2 * 30_532_122_624


@pytest.mark.parametrize(
    "given",
    [
        {"bits": 4, "group_size": 32},
        {"bits": 3, "group_size": 32, "rules": ({"layers": "embed", "bits": 6},)},
        {"recipe": "mixed_3_4", "group_size": 32},
        {"mode": "nvfp4"},
    ],
)
def test_an_estimate_is_what_comes_out(tmp_path: Path, given: dict[str, Any]) -> None:
    base = write_model(tmp_path / "base", dtype=mx.float32)
    config = read_json_object(base / "config.json")
    expected = estimate_conversion(options(**given), config)
    out = quantize(options(**given), base, None, tmp_path / "out")
    after = read_json_object(out / "config.json")
    assert expected.after == read_weights(out).nbytes
    assert expected.before == read_weights(base).nbytes
    assert expected.bits_per_weight == measured_size(out).bits_per_weight
    assert parameters_of(after) == expected.parameters
    # And fusing into it, or out of it.
    assert estimate_conversion(FuseOptions(into_quantized=True), after).after == expected.after
    unpacked = estimate_conversion(FuseOptions(), after)
    assert (unpacked.before, unpacked.after) == (expected.after, expected.before)
    assert expected.memory < SHARD_BYTES


def test_a_model_that_mlx_lm_does_not_know_is_refused() -> None:
    with pytest.raises(TrainingError, match="cannot build"):
        estimate_conversion(options(), {"model_type": "nothing_like_this"})
    with pytest.raises(TrainingError, match="cannot build"):
        estimate_conversion(options(), json.loads("{}"))
