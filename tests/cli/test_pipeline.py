import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from punie.models.catalog import bundled_directory
from punie.models.made import name_model
from punie.training.gates.report import Check, GateReport
from punie.training.pipeline.store import Store
from punie.training.provenance import model_hash, record_gate, write_provenance
from tests.cli.conftest import Command
from tests.training.pipeline.conftest import write_sound

SPLIT = """
name = "parts"

[steps.parts]
kind = "split"
dataset = "data"
shares = { train = 0.8, valid = 0.2 }
near = 1.0
most_leaks = 100
"""


@pytest.fixture
def project(punie: Command) -> Path:
    write_sound(punie.cwd / "data")
    (punie.cwd / "parts.toml").write_text(SPLIT)
    return punie.cwd


def test_plan_run_status_and_gc(punie: Command, project: Path) -> None:
    planned = punie("pipeline", "plan", "parts.toml", "--json")
    ran = punie("pipeline", "run", "parts.toml")
    again = punie("pipeline", "plan", "parts.toml")
    told = punie("pipeline", "status", "--json")
    (state,) = json.loads(told.stdout)["steps"]
    was_there = (Path(state["output"]) / "dataset.json").is_file()
    kept = punie("pipeline", "gc", "--days", "1", "--yes")
    unasked = punie("pipeline", "gc", "--days", "0")
    cleared = punie("pipeline", "gc", "--days", "0", "--yes")

    assert planned.returncode == 0, planned.stderr
    (step,) = json.loads(planned.stdout)["steps"]
    assert (step["name"], step["kind"], step["there"]) == ("parts", "split", False)
    assert ran.returncode == 0, ran.stderr
    assert "parts: done, 1 of 1 steps" in ran.stdout
    assert "parts: train 3" in ran.stdout
    assert "is there" in again.stdout
    assert "all done already" in again.stdout
    assert state["record"]["figures"]["train"]["unit"] == "examples"
    assert was_there
    assert kept.stdout == "There is nothing to delete.\n"
    assert (unasked.returncode, unasked.stderr) == (
        1,
        "punie: Nobody is there to ask; use --yes to delete without asking.\n",
    )
    assert "1 outputs are deleted" in cleared.stdout
    assert not Path(state["output"]).exists()


def test_it_runs_without_the_terminal_until_it_is_stopped_and_goes_on(
    punie: Command, project: Path
) -> None:
    punie.extra["XDG_DATA_HOME"] = ""
    slow = SPLIT.replace('"parts"', '"slow"', 1) + SLOW
    (project / "slow.toml").write_text(slow)
    started = punie("pipeline", "run", "slow.toml", "--detach")
    twice = punie("pipeline", "run", "slow.toml", "--detach")
    _wait_for(punie, lambda run: _trained(run) > 0)
    stopped = punie("pipeline", "stop")
    after = json.loads(punie("pipeline", "status", "slow", "--json").stdout)
    nothing = punie("pipeline", "stop", "slow")
    punie("pipeline", "run", "slow.toml", "--detach")
    going_on = _wait_for(punie, lambda run: _trained(run) > 0)
    os.kill(going_on["pid"], signal.SIGKILL)
    killed = _wait_for(punie, lambda run: run["state"] != "running")
    store = Store(punie.home / ".local/share/punie/pipelines")
    _wait_for_end(store, _step(killed, "base")["key"])

    assert started.returncode == 0, started.stderr
    assert "`punie pipeline status slow`" in started.stdout
    assert (twice.returncode, "runs already" in twice.stderr) == (1, True)
    assert stopped.returncode == 0, stopped.stderr
    assert (after["state"], _step(after, "base")["state"]) == ("stopped", "stopped")
    assert _step(after, "parts")["state"] == "done"
    assert nothing.stderr == "punie: No pipeline slow is running.\n"
    assert _step(going_on, "parts")["state"] == "reused"
    # It goes on where it was stopped, and saves when the pipeline is gone from under it.
    assert _trained(going_on) > _trained(after) > 0
    assert killed["sentence"].startswith("It was killed, or the machine was restarted")
    unfinished = store.step(_step(killed, "base")["key"])
    assert (unfinished / ".model.unfinished" / "checkpoint.safetensors").is_file()


SLOW = """
[gates.data]
most_of_one_tool = 1
most_leaks = 100

[steps.base]
kind = "pretrain"
dataset = "@parts"
vocab = 300
hidden = 32
layers = 2
heads = 4
key_value_heads = 2
head_dim = 8
inner = 64
tokens = 512
steps = 100000
"""


def _step(run: dict, name: str) -> dict:  # type: ignore[type-arg]
    return next(step for step in run["steps"] if step["name"] == name)


def _trained(run: dict) -> int:  # type: ignore[type-arg]
    progress = _step(run, "base")["progress"] or {}
    return int(progress["done"]) if progress.get("doing") == "training" else 0


def _wait_for(punie: Command, wanted) -> dict:  # type: ignore[no-untyped-def,type-arg]
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        run = json.loads(punie("pipeline", "status", "slow", "--json").stdout)
        if wanted(run):
            return run  # type: ignore[no-any-return]
        assert run["state"] == "running", run
        time.sleep(0.1)
    raise AssertionError("it does not get on")


def _wait_for_end(store: Store, key: str) -> None:
    deadline = time.monotonic() + 60
    while store.is_busy(key):
        assert time.monotonic() < deadline, "the step does not notice that its pipeline is gone"
        time.sleep(0.1)


def test_what_is_wrong_is_one_sentence(punie: Command, project: Path) -> None:
    (project / "bad.toml").write_text(SPLIT.replace("near", "nearly"))

    bad = punie("pipeline", "run", "bad.toml", "--detach")
    missing = punie("pipeline", "plan", "nothing")
    no_run = punie("pipeline", "status", "nothing")

    assert (bad.returncode, bad.stdout) == (1, "")
    assert bad.stderr == (
        "punie: bad.toml, line 8: steps.parts: there is no 'nearly' here; did you mean 'near'?\n"
    )
    assert missing.stderr.startswith("punie: There is no recipe nothing; name a TOML file")
    assert no_run.stderr == (
        "punie: There is no pipeline 'nothing' here; `punie pipeline run RECIPE` starts one.\n"
    )


def test_a_made_model_is_used_only_if_these_weights_passed_the_serving_gate(
    punie: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = punie.home / "store" / "model"
    shutil.copytree(bundled_directory(), made)
    (made / "punie-model.json").unlink(missing_ok=True)
    write_provenance(made, "fuse", {}, {})
    monkeypatch.setenv("HOME", str(punie.home))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    name_model("mine", made)

    unjudged = punie("models", "use", "mine")
    _judge(made, passed=False)
    refused = punie("models", "use", "mine")
    forced = punie("models", "use", "mine", "--force")
    punie("models", "use", "punie-tiny")
    _judge(made, passed=True)
    used = punie("models", "use", "mine")
    listed = punie("models", "list")
    in_use = punie("models", "rm", "mine")
    with (made / "chat_template.jinja").open("a") as file:
        file.write(" ")
    other_template = punie("models", "use", "mine")
    weights = made / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    changed = punie("models", "use", "mine")
    punie("models", "use", "punie-tiny")
    gone = punie("models", "rm", "mine")

    assert unjudged.returncode == 1
    assert "has not been through the serving gate" in unjudged.stderr
    assert "did not let" in refused.stderr
    assert "calls none of 20, or use --force to choose it all the same." in refused.stderr
    assert (forced.returncode, "although this was skipped" in forced.stderr) == (0, True)
    assert used.returncode == 0, used.stderr
    assert "mine is the model from now on" in used.stdout
    assert "* mine\n" in listed.stdout
    assert "is in use; choose another one first" in in_use.stderr
    assert "looked at another model than now lies in" in other_template.stderr
    assert "are not those that were made there" in changed.stderr
    assert gone.stdout.startswith("mine is no longer listed")
    assert made.is_dir()


def _judge(made: Path, *, passed: bool) -> None:
    check = Check(name="calls", passed=passed, found="calls none of 20")
    report = GateReport(
        gate="serving", subject=str(made), subject_hash=model_hash(made), checks=(check,)
    )
    record_gate(made, report)
