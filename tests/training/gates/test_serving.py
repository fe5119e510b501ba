"""The serving gate on the bundled model, and on copies of it that are broken on purpose."""

import json
import shutil
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx.utils import tree_flatten

from punie.models.catalog import bundled_directory
from punie.models.mlx.library import load_model
from punie.training.errors import TrainingError
from punie.training.gates.report import Check, GateReport
from punie.training.gates.serving import ServingLimits, serving_gate
from punie.training.progress import Interrupted, Progress

FEW = ServingLimits(
    tasks=3,
    direct=1,
    seed=1,
    max_tokens=80,
    least_solved=0.9,
    families=("read", "read_range"),
)
WEIGHTS = "model.safetensors"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the bundled model, to be broken."""
    folder = tmp_path / "model"
    folder.mkdir()
    for file in bundled_directory().iterdir():
        if file.suffix in (".json", ".jinja", ".safetensors"):
            shutil.copy(file, folder)
    return folder


def save(folder: Path, weights: dict[str, mx.array]) -> None:
    mx.save_safetensors(str(folder / WEIGHTS), weights, {"format": "mlx"})


def check(report: GateReport, name: str) -> Check:
    (found,) = (each for each in report.checks if each.name == name)
    return found


def failures(report: GateReport) -> set[str]:
    return {each.name for each in report.failures}


def test_the_bundled_model_passes_with_a_base_and_a_draft_model() -> None:
    seen: list[Progress] = []
    limits = FEW.model_copy(update={"draft_model": "punie-tiny"})
    report = serving_gate(bundled_directory(), limits, bundled_directory(), seen.append)
    assert report.passed, report.lines()
    assert [each.name for each in report.checks] == [
        "loads",
        "prompt",
        "engine",
        "calls can be read",
        "answers end",
        "no repetition",
        "direct questions",
        "right tool",
        "solved",
        "right tool, against the base",
        "solved, against the base",
        "draft model",
    ]
    assert "leaves instructions and tools out" in check(report, "prompt").found
    assert check(report, "right tool, against the base").measured == 0
    assert {progress.doing for progress in seen} == {
        "with the grammar",
        "without the grammar",
        "direct questions",
        "without the draft model",
        "the base",
        "with the draft model",
    }


def test_random_weights(model: Path) -> None:
    mx.random.seed(1)
    whole = mx.load(str(model / WEIGHTS))
    assert isinstance(whole, dict)
    save(
        model,
        {
            name: mx.random.normal(each.shape) * 0.02 if each.ndim > 1 else mx.ones(each.shape)
            for name, each in whole.items()
        },
    )
    report = serving_gate(model, FEW)
    assert failures(report) >= {"answers end", "right tool", "solved"}
    assert not check(report, "calls can be read").passed
    assert "called no tool at all" in check(report, "calls can be read").found


def test_an_engine_that_fails_at_every_result(model: Path) -> None:
    """The template takes no result of a tool, so the second request of each task fails."""
    template = model / "chat_template.jinja"
    fails = "{%- if messages[-1].role == 'tool' %}{{ raise_exception('no results') }}{% endif %}"
    template.write_text(fails + template.read_text())
    report = serving_gate(model, FEW)
    engine = check(report, "engine")
    assert not engine.passed
    assert "no results" in engine.found
    assert check(report, "loads").passed


def test_an_end_of_turn_that_is_never_written(model: Path) -> None:
    weights = mx.load(str(model / WEIGHTS))
    assert isinstance(weights, dict)
    rows = weights["model.embed_tokens.weight"]
    kept = mx.ones((rows.shape[0], 1))
    for end in json.loads((model / "config.json").read_text())["eos_token_id"]:
        kept[end] = 0
    save(model, {**weights, "model.embed_tokens.weight": rows * kept})
    report = serving_gate(model, FEW)
    assert failures(report) >= {"answers end", "solved"}
    assert check(report, "answers end").measured == 1
    assert check(report, "right tool").passed


def test_two_bits_are_too_few_for_so_small_a_model(model: Path) -> None:
    network, _ = load_model(model)
    nn.quantize(network, 128, 2)  # type: ignore[attr-defined]
    save(model, dict(tree_flatten(network.parameters())))
    config = json.loads((model / "config.json").read_text())
    config["quantization"] = {"group_size": 128, "bits": 2}
    (model / "config.json").write_text(json.dumps(config))
    report = serving_gate(
        model, FEW.model_copy(update={"tasks": 6, "families": ("read", "set", "write")})
    )
    assert not report.passed
    assert "solved" in failures(report)
    assert "; the weakest: " in check(report, "solved").found


def test_a_model_that_learned_another_format_than_its_template_has(model: Path) -> None:
    file = model / "chat_template.jinja"
    text = file.read_text()
    start, end = text.index("{{- '<tool_call>"), text.index("{%- endmacro")
    as_json = (
        """{{- '<tool_call>\\n{"name": "' ~ function.name ~ '", "arguments": ' """
        """~ (function.arguments or {}) | tojson ~ '}\\n</tool_call>' -}}\n"""
    )
    file.write_text(text[:start] + as_json + text[end:])
    report = serving_gate(model, FEW)
    assert "solved" in failures(report)


def test_weights_that_cannot_be_loaded(model: Path, tmp_path: Path) -> None:
    (model / WEIGHTS).write_bytes((model / WEIGHTS).read_bytes()[:5000])
    report = serving_gate(model, FEW)
    assert [(each.name, each.passed) for each in report.checks] == [("loads", False)]
    with pytest.raises(TrainingError, match="no model folder"):
        serving_gate(tmp_path / "none", FEW)
    with pytest.raises(TrainingError, match="No family of tasks is left"):
        serving_gate(model, FEW.model_copy(update={"families": ("beyond",)}))


def test_too_short_a_window(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    config["max_position_embeddings"] = 5
    (model / "config.json").write_text(json.dumps(config))
    report = serving_gate(model, FEW)
    assert failures(report) == {"prompt"}
    assert "no room" in check(report, "prompt").found


def test_it_can_be_stopped() -> None:
    with pytest.raises(Interrupted, match="Stopped after"):
        serving_gate(bundled_directory(), FEW, stopped=lambda: True)
