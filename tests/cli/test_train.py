import json
import os
import signal
from pathlib import Path

import pytest

from punie.training.data.dataset import Manifest, write_dataset
from punie.training.data.example import Example
from punie.training.progress import never, quiet
from punie.training.waiting import whole_machine
from tests.cli.conftest import Command
from tests.training.sample_conversations import conversations, write_data
from tests.training.sample_models import write_model

_SMALL = ["--layers", "1", "--rank", "2", "--batch", "2", "--warm-up", "1"]


def test_a_model_is_trained_and_judged_from_the_command_line(
    punie: Command, tmp_path: Path
) -> None:
    model = write_model(tmp_path / "model")
    greetings = [
        [{"role": "user", "content": f"Hello {n}"}, {"role": "assistant", "content": "Hello!"}]
        for n in range(6)
    ]
    parts = {
        name: [Example.model_validate({"messages": each}) for each in examples]
        for name, examples in (
            ("train", [*conversations(6), *greetings]),
            ("valid", [*conversations(2, seed=2), *greetings]),
        )
    }
    data = write_dataset(tmp_path / "data", Manifest(made_by="sample"), parts).folder
    out = tmp_path / "adapter"
    given = ["train", str(model), str(data), "--out", str(out), *_SMALL, "--steps", "8"]

    looked = punie(*given, "--dry-run")
    assert looked.returncode == 0, looked.stderr
    assert "in 12 sequences" in looked.stdout
    assert "needs about" in looked.stdout
    assert not out.exists()

    done = punie(*given, "--learning-rate", "1e-2", "--scale", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{out}: an adapter for {model}." in done.stdout
    assert "gate training: passed" in done.stdout
    assert "training: 8 of 8 steps  loss " in done.stderr
    assert json.loads((out / "punie-model.json").read_text())["gates"] == {"training": True}

    gate = punie("gate", "training", str(model), str(out), str(data), "--most-loss", "0", "--json")
    assert gate.returncode == 0, gate.stdout + gate.stderr
    assert json.loads(gate.stdout)["gate"] == "training"
    again = punie(*given)
    assert (again.returncode, again.stdout.count("exists")) == (1, 0)
    assert "exists already" in again.stderr
    wrong = punie(*given, "--kind", "full", "--key", "mlp.up_proj")
    assert wrong.returncode == 2
    assert "full training has none" in wrong.stderr
    assert "Traceback" not in again.stderr + wrong.stderr


def test_it_waits_for_another_training(
    punie: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(punie.home))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    model, data = write_model(tmp_path / "model"), write_data(tmp_path / "data", valid=2)
    given = ["train", str(model), str(data), "--out", str(tmp_path / "out"), *_SMALL]
    given += ["--steps", "2"]
    waits = f"process {os.getpid()}, which trains or converts a model"
    with whole_machine(quiet, never), punie.start(*given) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line == f"waiting for {waits}\n":
                process.send_signal(signal.SIGINT)
                break
        rest = process.stderr.read()
        assert process.wait() == 130
    assert f"Stopped while it waited for {waits}." in rest

    (tmp_path / "taken").mkdir()
    with whole_machine(quiet, never):
        refused = punie(*given, "--out", str(tmp_path / "taken"))
    assert refused.returncode == 1
    assert "exists already" in refused.stderr
    assert "waiting" not in refused.stderr

    done = punie(*given)
    assert "waiting" not in done.stderr
    assert "training: 2 of 2 steps" in done.stderr


def test_control_c_saves_and_the_same_command_goes_on(punie: Command, tmp_path: Path) -> None:
    model, data = write_model(tmp_path / "model"), write_data(tmp_path / "data", valid=2)
    given = ["train", str(model), str(data), "--out", str(tmp_path / "out"), *_SMALL]
    given += ["--steps", "60", "--kind", "full"]
    with punie.start(*given) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("training: "):
                process.send_signal(signal.SIGINT)
                break
        rest = process.stderr.read()
        assert process.wait() == 130
    assert "the same command goes on from there" in rest
    assert "Traceback" not in rest
    assert not (tmp_path / "out").exists()

    done = punie(*given)
    assert "training: 1 of" not in done.stderr
    assert "training: 60 of 60 steps" in done.stderr
    # There are no direct answers to tell whether they were forgotten.
    assert done.returncode == 1
    assert "gate training: FAILED" in done.stdout
    assert (tmp_path / "out" / "model.safetensors").is_file()
