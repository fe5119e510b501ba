import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from punie.models.mlx.chat_format import ChatFormat
from punie.models.provenance import read_provenance
from punie.training.data.dataset import open_dataset
from punie.training.data.example import PromptPrefix
from punie.training.data.sequences import training_sequences
from punie.training.errors import TrainingError
from punie.training.pretraining.rewriting import RewriteOptions, rewrite_template
from punie.training.pretraining.run import PretrainOptions, pretrain
from punie.training.pretraining.trainer import Recipe
from punie.training.pretraining.workers import Workers
from punie.training.progress import Interrupted, Progress
from tests.training.sample_conversations import SHAPE, conversations, write_data

pytestmark = pytest.mark.usefixtures("uncompiled")

SMALL = {
    "vocab": SHAPE.vocab_size,
    "hidden": SHAPE.hidden_size,
    "layers": SHAPE.layers,
    "heads": SHAPE.attention_heads,
    "key_value_heads": SHAPE.key_value_heads,
    "head_dim": SHAPE.head_dim,
    "inner": SHAPE.intermediate_size,
    "tokens": 512,
    "steps": 12,
    "validation_steps": 5,
}
PROGRAM = """
import json, sys
from pathlib import Path
from punie.training.pretraining.run import PretrainOptions, pretrain
data, out, options = sys.argv[1:]
pretrain(PretrainOptions(**json.loads(options)), Path(data), Path(out), checkpoint_seconds=0)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "set")


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    with compile_switched_off():
        return pretrain(options(), data, tmp_path_factory.mktemp("whole") / "model")


@contextmanager
def compile_switched_off() -> Iterator[None]:
    import mlx.core as mx

    mx.disable_compile()
    yield
    mx.enable_compile()


def options(**more: Any) -> PretrainOptions:
    return PretrainOptions.model_validate(SMALL | more)


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def log(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_a_model_that_mlx_lm_opens(trained: Path, data: Path) -> None:
    from mlx_lm import generate, load

    loaded = load(str(trained))
    model, tokenizer = loaded[0], loaded[1]
    assert tokenizer.has_tool_calling
    assert tokenizer.tool_call_start == "<tool_call>"
    chat_format = ChatFormat.load(trained)
    assert tokenizer.eos_token_ids == chat_format.stop_ids
    prompt = chat_format.encode(conversations(1)[0][:1]).tokens
    assert isinstance(generate(model, tokenizer, prompt=prompt, max_tokens=3), str)
    provenance = read_provenance(trained)
    assert provenance is not None
    assert provenance.made_by == "pretrain"
    assert not [file.name for file in trained.iterdir() if "checkpoint" in file.name]


def test_the_log_tells_of_every_step_and_of_validations(trained: Path) -> None:
    entries = log(trained)
    steps = [entry for entry in entries if "scale" in entry]
    assert [entry["step"] for entry in steps] == list(range(1, 13))
    assert [entry["step"] for entry in entries if "turns" in entry] == [5, 10, 12]
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert 0 <= entries[-1]["first_turns"] <= 1


def test_a_loss_is_never_told_as_below_zero(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Workers.step

    def rounded(*args: Any) -> Any:
        # The network's exponential is a polynomial, whose error can be larger than the loss.
        *new, _, right = step(*args)
        return *new, -2e-5, right

    monkeypatch.setattr(Workers, "step", rounded)
    told: list[Progress] = []
    pretrain(options(steps=1), data, tmp_path / "model", told.append)
    assert str(log(tmp_path / "model")[0]["loss"]) == "0.0"
    assert str(told[-1].metrics["loss"]) == "0.0"


def test_killed_and_resumed_is_the_same_bit_for_bit(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(data), str(out), json.dumps(SMALL | {"steps": 12})],
        env={**os.environ, "MLX_DISABLE_COMPILE": "1"},
        stdin=subprocess.DEVNULL,
    )
    unfinished = tmp_path / ".model.unfinished"
    deadline = time.monotonic() + 120
    while not (unfinished / "checkpoint.safetensors").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    done = log(unfinished)
    pretrain(options(), data, out)
    assert weights(out) == weights(trained)
    assert [entry["step"] for entry in log(out) if "scale" in entry] == list(range(1, 13))
    assert log(out)[0] == done[0]


def test_stopped_says_how_it_goes_on_and_one_worker_gives_the_same(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    asked = iter([False, False, True])
    with pytest.raises(Interrupted, match="after 2 of 12 steps"):
        pretrain(options(), data, out, stopped=lambda: next(asked), workers=1)
    assert not out.exists()
    pretrain(options(), data, out, workers=1)
    assert weights(out) == weights(trained)


def test_another_recipe_starts_anew(trained: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    asked = iter([False, True])
    with pytest.raises(Interrupted):
        pretrain(options(seed=2), data, out, stopped=lambda: next(asked))
    pretrain(options(), data, out)
    assert weights(out) == weights(trained)


def test_calls_as_json_are_read_back_as_they_were_written(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    out = rewrite_template(RewriteOptions(calls="json"), trained, tmp_path / "model")
    chat_format = ChatFormat.load(out)
    assert chat_format.syntax == "json"
    example = next(open_dataset(data).examples("train"))
    (sequence,) = training_sequences(chat_format, example, PromptPrefix())
    text = chat_format.vocabulary.text(sequence.ids)
    (call,) = example.calls
    written = json.dumps({"name": call.name, "arguments": call.arguments})
    assert f"<tool_call>\n{written}\n</tool_call><|im_end|>" in text


def test_a_given_tokenizer_is_kept(trained: Path, data: Path, tmp_path: Path) -> None:
    out = pretrain(options(steps=1, layers=1), data, tmp_path / "model", tokenizer=trained)
    assert (out / "tokenizer.json").read_bytes() == (trained / "tokenizer.json").read_bytes()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"inner": 400_000}, "too many to train"),
        ({"window": 64}, "do not fill a single batch|No conversation"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    data: Path, tmp_path: Path, more: dict[str, int], sentence: str
) -> None:
    with pytest.raises(TrainingError, match=sentence):
        pretrain(options(**more), data, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_missing_inputs_are_one_sentence(data: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="There is no dataset in"):
        pretrain(options(), tmp_path, tmp_path / "model")
    with pytest.raises(TrainingError, match="There is no tokenizer at"):
        pretrain(options(), data, tmp_path / "model", tokenizer=tmp_path)


def test_a_loss_that_is_no_number_ends_the_run(data: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="not a number any more"):
        pretrain(options(muon_rate=1e30, adam_rate=1e30), data, tmp_path / "model")


def test_rates_rise_hold_and_fall_to_zero() -> None:
    recipe = Recipe(steps=1000, warm_up=10, hold=0.5)
    assert recipe.rate_scale(0) == pytest.approx(0.1)
    assert recipe.rate_scale(400) == 1
    assert recipe.rate_scale(750) == pytest.approx(0.5)
    assert recipe.rate_scale(999) == pytest.approx(0.002)
    assert recipe.rate_scale(1000) == 0
