import json
from pathlib import Path
from typing import Any

import pytest

from punie.models.catalog import bundled_directory, read_json_object
from punie.training.curve import read_curve
from punie.training.data.dataset import Manifest, write_dataset
from punie.training.data.example import Example
from punie.training.tuning.memory import estimate_tuning
from punie.training.tuning.options import TuneOptions
from punie.training.tuning.run import ABOUT, tune
from tests.assets import ASSETS, needs_assets
from tests.models.held_memory import held_memory

pytestmark = pytest.mark.usefixtures("uncompiled")

_FACTOR = 1.5
"""How far an estimate may be from what is measured, either way."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight conversations of about 130 tokens."""
    examples = [
        Example.model_validate(
            {
                "messages": [
                    {"role": "user", "content": f"What is in file{number}.py? " + "Tell me. " * 20},
                    {"role": "assistant", "content": "It sets a value. " * 6},
                ]
            }
        )
        for number in range(8)
    ]
    folder = tmp_path_factory.mktemp("data") / "data"
    return write_dataset(folder, Manifest(made_by="sample"), {"train": examples}).folder


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"recompute": True, "kind": "dora"},
        {"kind": "full", "layers": 0, "embeddings": True, "batch": 4},
    ],
)
def test_the_estimate_is_near_the_measured_peak(
    tmp_path: Path, data: Path, kind: dict[str, Any]
) -> None:
    options = TuneOptions(**{"steps": 1, "warm_up": 0, "batch": 2, **kind})
    held = held_memory()
    out = tune(options, bundled_directory(), data, tmp_path / "out")
    peak = max(row["peak_memory"] for row in read_curve(out / "curve.jsonl")) - held
    estimated = json.loads((out / ABOUT).read_text())["memory"]["total"]
    assert peak / _FACTOR <= estimated <= peak * _FACTOR


@needs_assets
def test_the_30b_model_needs_what_others_measured() -> None:
    config = read_json_object(ASSETS / "qwen3-coder-30b-a3b" / "config.json")
    packed = config | {"quantization": {"bits": 4, "group_size": 64}}
    options = TuneOptions(batch=1, accumulate=4, layers=8, rank=8)
    needed = estimate_tuning(options, packed, 2048)
    assert needed.parameters == 30_532_122_624
    # 70.459 M trained of 30.5 B, as a run of mlx-lm printed.
    assert needed.trainable == 70_459_392
    # Its peaks were 20.9 to 26.2 GB, for sequences of at most 2,048 tokens.
    assert 20.9e9 <= needed.total <= 1.2 * 26.2e9
    shorter = estimate_tuning(options, packed, 700, 300)
    assert 18e9 <= shorter.total <= 22e9
    # Sixteen layers went out of memory on a machine with 32 GB.
    more = estimate_tuning(options.model_copy(update={"layers": 16}), packed, 2048)
    assert more.total > 32e9
    again = estimate_tuning(options.model_copy(update={"recompute": True}), packed, 2048)
    assert again.total < needed.total - 3e9


def test_parts_follow_the_options() -> None:
    config = read_json_object(bundled_directory() / "config.json")
    usual = estimate_tuning(TuneOptions(), config, 512)
    assert usual.gradients == usual.trainable * 4
    assert usual.optimizer // (usual.trainable * 8) == 1
    twice = estimate_tuning(TuneOptions(accumulate=2, rank=16), config, 512)
    assert twice.trainable == 2 * usual.trainable
    assert twice.gradients == 4 * usual.gradients
    few = estimate_tuning(TuneOptions(keys=("self_attn.q_proj",), layers=1), config, 512)
    hidden, queries = config["hidden_size"], config["num_attention_heads"] * config["head_dim"]
    assert few.trainable == 8 * (hidden + queries)
    momentum = estimate_tuning(TuneOptions(optimizer="sgd"), config, 512)
    assert momentum.optimizer < usual.optimizer
    assert estimate_tuning(TuneOptions(), config, 10_000) == estimate_tuning(
        TuneOptions(), config, 2048
    )
