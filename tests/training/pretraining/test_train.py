import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from punie.models.mlx.chat_format import ChatFormat
from punie.training.kernels import prefer_native_kernels
from punie.training.pretraining.trainer import Recipe
from tests.training.sample_conversations import SHAPE, conversations, write_data

SMALL = [
    *("--vocab", str(SHAPE.vocab_size), "--hidden", str(SHAPE.hidden_size)),
    *("--layers", str(SHAPE.layers), "--heads", str(SHAPE.attention_heads)),
    *("--key-value-heads", str(SHAPE.key_value_heads), "--head-dim", str(SHAPE.head_dim)),
    *("--inner", str(SHAPE.intermediate_size), "--tokens", "512"),
]


def start(data: Path, out: Path, minutes: float, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "punie.training.pretraining.train", "--data", str(data)]
    command += ["--out", str(out), "--minutes", str(minutes), *SMALL, *more]
    return subprocess.Popen(
        command,
        # Uncompiled, so that the test does not wait for a C++ compiler.
        env={**os.environ, "MLX_DISABLE_COMPILE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def log(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def wait_for_step(process: subprocess.Popen[str], out: Path, step: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if (out / "log.jsonl").exists() and len(log(out)) >= step:
            return
        time.sleep(0.1)
    pytest.fail(f"step {step} never came: {process.communicate()[0]}")


def test_train_stop_resume_and_load(tmp_path: Path) -> None:
    data, out = write_data(tmp_path / "data"), tmp_path / "out"
    process = start(data, out, 30)
    wait_for_step(process, out, 5)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    before = log(out)
    spent = before[-1]["elapsed"]
    process = start(data, out, (spent + 6) / 60, "--resume")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    after = log(out)[len(before) :]
    steps = [entry["step"] for entry in after if "scale" in entry]
    assert steps == list(range(before[-1]["step"] + 1, steps[-1] + 1))
    assert after[0]["elapsed"] > spent
    assert after[-1]["step"] == steps[-1]
    assert 0 <= after[-1]["first_turns"] <= 1
    assert after[-1]["loss"] < before[0]["loss"]
    opens_in_mlx_lm(out / "model")


def opens_in_mlx_lm(folder: Path) -> None:
    from mlx_lm import generate, load

    loaded = load(str(folder))
    model, tokenizer = loaded[0], loaded[1]
    assert tokenizer.has_tool_calling
    assert tokenizer.tool_call_start == "<tool_call>"
    chat_format = ChatFormat.load(folder)
    assert tokenizer.eos_token_ids == chat_format.stop_ids
    prompt = chat_format.encode(conversations(1)[0][:1]).tokens
    text = generate(model, tokenizer, prompt=prompt, max_tokens=3)
    assert isinstance(text, str)


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        (["--resume"], "there is no checkpoint to go on from"),
        (["--tokenizer", "nowhere"], "there is no tokenizer at"),
        (["--hidden", "4096"], "more than the package may carry"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path: Path, more: list[str], wanted: str) -> None:
    process = start(write_data(tmp_path / "data"), tmp_path / "out", 1, *more)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 2
    assert wanted in output.splitlines()[-1]
    assert "Traceback" not in output


def test_missing_data_is_one_sentence(tmp_path: Path) -> None:
    process = start(tmp_path, tmp_path / "out", 1)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "there is no train.jsonl" in output


def test_rates_rise_hold_and_fall_to_zero() -> None:
    recipe = Recipe(minutes=10, warm_up=10, hold=0.5)
    assert recipe.rate_scale(0, 0) == pytest.approx(0.1)
    assert recipe.rate_scale(100, 240) == 1
    assert recipe.rate_scale(100, 450) == pytest.approx(0.5)
    assert recipe.rate_scale(100, 600) == 0
    assert recipe.rate_scale(100, 700) == 0


@pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("g++"), reason="needs Linux and a C++ compiler"
)
def test_the_compiler_gets_this_machines_flags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.environ["PATH"])
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert "-march=native" in prefer_native_kernels(tmp_path)
    found = shutil.which("g++")
    assert found is not None
    assert Path(found).is_relative_to(tmp_path)
    prefer_native_kernels(tmp_path)
    assert re.search(r'^exec "/[^"]*" "\$@"', Path(found).read_text(), re.MULTILINE)
    assert str(tmp_path) not in Path(found).read_text()
    source = tmp_path / "a.cpp"
    source.write_text("#if !defined(__FAST_MATH__)\n#error plain\n#endif\n")
    subprocess.run(["g++", "-c", str(source), "-o", str(tmp_path / "a.o")], check=True, timeout=60)
