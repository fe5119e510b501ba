"""The model card says what was measured on the very weights that ship."""

import json
from hashlib import sha256
from pathlib import Path

from punie.evaluation.card import card

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
