import json
import shutil
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from punie.training.data.dataset import Manifest, write_dataset
from punie.training.data.example import Example
from punie.training.gates.report import GateReport
from punie.training.gates.training import TrainingLimits, training_gate
from punie.training.tuning.options import TuneOptions
from punie.training.tuning.run import tune
from tests.training.sample_conversations import conversations
from tests.training.sample_models import write_model

pytestmark = pytest.mark.usefixtures("uncompiled")

_RECIPE: dict[str, Any] = {
    "layers": 0, "rank": 4, "scale": 2.0, "steps": 12, "batch": 4, "learning_rate": 5e-3,
    "warm_up": 2,
    "validation_steps": 100,
}  # fmt: skip


def _direct(count: int, answer: str = "Hello, what shall I do?") -> list[list[dict[str, Any]]]:
    return [
        [
            {"role": "user", "content": f"Hello {number}"},
            {"role": "assistant", "content": answer},
        ]
        for number in range(count)
    ]


def _write(folder: Path, **parts: list[list[dict[str, Any]]]) -> Path:
    examples = {
        name: [Example.model_validate({"messages": each}) for each in part]
        for name, part in parts.items()
    }
    return write_dataset(folder, Manifest(made_by="sample"), examples).folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has learned both to call and to answer, a little."""
    folder = tmp_path_factory.mktemp("base")
    data = _write(folder / "data", train=[*conversations(12), *_direct(12)])
    whole = {"kind": "full", "embeddings": True, "steps": 30}
    fast = {"optimizer": "muon", "learning_rate": 5e-2}
    options = TuneOptions(**{**_RECIPE, **whole, **fast})
    return tune(options, write_model(folder / "random"), data, folder / "model")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write(
        tmp_path_factory.mktemp("data") / "data",
        train=[*conversations(12), *_direct(12)],
        valid=[*conversations(6, seed=5), *_direct(6)],
    )


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, base: Path, data: Path) -> Path:
    return tune(TuneOptions(**_RECIPE), base, data, tmp_path_factory.mktemp("tuned") / "adapter")


def _failed(report: GateReport) -> dict[str, str]:
    return {check.name: check.found for check in report.failures}


def test_what_learned_and_forgot_nothing_passes(base: Path, data: Path, tuned: Path) -> None:
    report = training_gate(base, tuned, data)
    assert report.passed, report.lines()
    assert [check.name for check in report.checks] == [
        "origin", "curve", "weights", "validation loss", "decisions", "direct: no call",
        "direct: first token", "direct: loss",
    ]  # fmt: skip
    loss = report.checks[3]
    assert loss.measured is not None
    assert loss.limit is not None
    assert loss.measured < loss.limit
    too_little = training_gate(base, tuned, data, TrainingLimits(least_gain=loss.limit))
    assert set(_failed(too_little)) == {"validation loss"}


def test_a_model_from_full_training_is_judged_too(tmp_path: Path, base: Path, data: Path) -> None:
    options = TuneOptions(**{**_RECIPE, "kind": "full", "steps": 6, "learning_rate": 1e-3})
    report = training_gate(base, tune(options, base, data, tmp_path / "model"), data)
    assert report.passed, report.lines()


def test_a_model_that_forgot_to_answer_without_a_call_fails(tmp_path: Path, base: Path) -> None:
    calls = [
        [question[0], call[1]]
        for question, call in zip(_direct(16), conversations(16), strict=True)
    ]
    data = _write(
        tmp_path / "data",
        train=calls,
        valid=[
            *(
                [question[0], call[1]]
                for question, call in zip(_direct(8), conversations(8, 3), strict=True)
            ),
            *_direct(6),
        ],
    )
    run = tune(
        TuneOptions(**{**_RECIPE, "steps": 25, "learning_rate": 1e-2}), base, data, tmp_path / "a"
    )
    report = training_gate(base, run, data)
    failed = _failed(report)
    assert {"direct: first token", "direct: no call", "direct: loss"} <= set(failed)
    assert "0 of 6 right, after 6" in failed["direct: first token"]


def test_what_was_made_of_something_else_or_not_finished_fails(
    tmp_path: Path, base: Path, data: Path, tuned: Path
) -> None:
    other = _write(tmp_path / "other", train=conversations(4), valid=conversations(2))
    report = training_gate(base, tuned, other)
    assert _failed(report) == {"origin": "It does not tell that it was made of this dataset."}
    # What is not of these inputs is not measured with them.
    assert report.checks[-1].name == "weights"

    run = shutil.copytree(tuned, tmp_path / "run")
    lines = (run / "curve.jsonl").read_text().splitlines()
    (run / "curve.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    assert "tells of 11 steps and there were 12" in _failed(training_gate(base, run, data))["curve"]
    broken = {**json.loads(lines[-1]), "train_loss": float("nan")}
    (run / "curve.jsonl").write_text("\n".join([*lines[:-1], json.dumps(broken)]) + "\n")
    assert "no finite number" in _failed(training_gate(base, run, data))["curve"]
    (run / "curve.jsonl").unlink()
    assert "There is no curve.jsonl" in _failed(training_gate(base, run, data))["curve"]


@pytest.mark.parametrize(("fault", "said"), [(float("nan"), "no finite number"), (0.0, "Nothing")])
def test_weights_that_are_no_numbers_or_say_nothing_fail(
    tmp_path: Path, base: Path, data: Path, tuned: Path, fault: float, said: str
) -> None:
    run = shutil.copytree(tuned, tmp_path / "run")
    weights = mx.load(str(run / "adapters.safetensors"))
    assert isinstance(weights, dict)
    changed = {
        name: mx.full(tensor.shape, fault) if name.endswith("lora_b") else tensor
        for name, tensor in weights.items()
    }
    mx.eval(changed)
    mx.save_safetensors(str(run / "adapters.safetensors"), changed)
    assert said in _failed(training_gate(base, run, data))["weights"]


def test_nothing_to_judge_by_fails(tmp_path: Path, base: Path) -> None:
    options = TuneOptions(**{**_RECIPE, "steps": 4})
    alone = _write(tmp_path / "alone", train=conversations(8))
    run = tune(options, base, alone, tmp_path / "a")
    assert "has no part 'valid'" in _failed(training_gate(base, run, alone))["validation"]

    calls = _write(tmp_path / "calls", train=conversations(8), valid=conversations(4, seed=4))
    run = tune(options, base, calls, tmp_path / "b")
    failed = _failed(training_gate(base, run, calls))
    assert "too few to see whether the model forgets" in failed["direct answers"]
    report = training_gate(base, run, calls, TrainingLimits(least_direct=0))
    assert "direct answers" not in _failed(report)
