"""The model card says what was measured on the very weights that ship."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from punie.evaluation.card import card
from punie.evaluation.tiny import bundle
from punie.models.catalog import bundled_directory
from punie.models.made import name_model
from punie.training.errors import TrainingError

_ROOT = Path(__file__).parents[2]
_MODEL = _ROOT / "punie" / "models" / "tiny"


def test_the_card_belongs_to_the_weights() -> None:
    scores = json.loads((_MODEL / "scores.json").read_text(encoding="utf-8"))
    config = json.loads((_MODEL / "config.json").read_text(encoding="utf-8"))
    weights = (_MODEL / "model.safetensors").read_bytes()
    assert sha256(weights).hexdigest() == scores["weights_sha256"]
    assert len(weights) <= 12_000_000
    assert (_ROOT / "docs" / "tiny-model.md").read_text(encoding="utf-8") == card(config, scores)


def test_the_measured_floor_holds() -> None:
    known = json.loads((_MODEL / "scores.json").read_text(encoding="utf-8"))["known"]
    assert known["right_tool_or_rightly_none"]["rate"] >= 0.97
    assert known["exact_arguments"]["rate"] >= 0.92
    assert known["two_step_tasks_solved"]["rate"] >= 0.80
    assert known["all_tasks_solved"]["of"] >= 400


def test_a_pipelines_result_is_put_into_a_model_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    target = tmp_path / "tiny"
    target.mkdir()
    (target / "model.safetensors").write_text("old")
    with pytest.raises(TrainingError, match="No pipeline made a model 'mine'"):
        bundle("mine", target)
    assert (target / "model.safetensors").read_text() == "old"
    name_model("mine", bundled_directory())
    bundle("mine", target)
    for file in ("config.json", "model.safetensors", "tokenizer.json"):
        assert (target / file).read_bytes() == (bundled_directory() / file).read_bytes()
