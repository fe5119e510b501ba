"""`punie models compare` as it is typed: what is left out and why, and what is recommended."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from punie.cli.models import main
from punie.models.catalog import bundled_directory
from punie.training.quantizing.options import QuantizeOptions
from punie.training.quantizing.run import quantize
from punie.workspace.sandbox.bubblewrap import Bubblewrap
from punie.workspace.sandbox.detect import find_sandbox
from tests.cli.conftest import Command
from tests.processes import processes_of

_WORKER = "punie.evaluation.choosing.worker"
_TASKS = ("--suite", "generated-tiny", "--short", "12", "--limit", "12", "--max-tokens", "60")
_TALK = ("--suite", "discrimination", "--short", "6", "--limit", "6")
_PATIENCE = 900.0


def models_of(printed: str) -> dict[str, Any]:
    told = json.loads(printed)
    return {Path(each["id"]).name: each for each in told["models"]} | {"": told}


@pytest.fixture(autouse=True)
def patience(punie: Command) -> None:
    """Take minutes where the machine has other things to do."""
    punie.timeout = _PATIENCE


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Return the bundled model with a template that drops what tools return."""
    folder = tmp_path / "damaged"
    shutil.copytree(bundled_directory(), folder)
    template = folder / "chat_template.jinja"
    text = template.read_text()
    shown = "message.content ~ '\\n</tool_response>"
    template.write_text(text.replace(shown, "'\\n</tool_response>"))
    assert template.read_text() != text
    return folder


@pytest.mark.slow
def test_models_are_compared_and_one_is_recommended(
    punie: Command, script: Callable[..., str], damaged: Path, tmp_path: Path
) -> None:
    packed = quantize(QuantizeOptions(bits=8), bundled_directory(), None, tmp_path / "packed")
    talks = script({"text": "Good morning."})
    asked = ("models", "compare", "punie-tiny", talks, str(damaged), str(packed), *_TASKS)
    done = punie(*asked)
    assert done.returncode == 0, done.stderr
    assert "punie-tiny, short (1 of 3): 12 of 12 items" in done.stderr
    assert "damaged, gate 0: tool results: " in done.stdout
    assert "script0.json, hopeless: It solved 0 of 12 short items" in done.stdout
    assert re.search(r"Recommended: (punie-tiny|packed)\. It solved .*, p = ", done.stdout)

    # All that was found is kept, and in the tracker.
    again = punie(*asked, "--json", "--parallel", "4")
    assert again.returncode == 0, again.stderr
    assert again.stderr == ""
    found = models_of(again.stdout)
    tiny, small = found["punie-tiny"], found["packed"]
    assert small["bytes"] < tiny["bytes"]
    gained = small["full"]["solved"]["hits"] - tiny["full"]["solved"]["hits"]
    assert small["against_first"]["difference"] == pytest.approx(gained / 12)
    # So few items do not tell that the smaller one is as good if it solved less.
    assert found[""]["recommended"] == (small if gained >= 0 else tiny)["id"]
    told = " ".join(found[""]["next"])
    assert ("punie gate serving" if gained >= 0 else "is the model in use") in told
    assert found["damaged"]["left_out"]["kind"] == "gate 0"
    assert found["damaged"]["short"] is None
    assert found["script0.json"]["left_out"]["kind"] == "hopeless"
    assert found["script0.json"]["full"] is None
    tracked = {run["id"] for run in json.loads(punie("track", "list", "--json").stdout)}
    ran = {each["short"]["run"] for name, each in found.items() if name and each["short"]}
    assert tracked == ran


@pytest.fixture
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("state", "config"):
        monkeypatch.setenv(f"PUNIE_{name.upper()}_DIR", str(tmp_path / name))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("own_folders")
def test_what_cannot_be_compared(
    script: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    talks = script({"text": "Good morning."})
    for arguments, code, said in (
        (("punie-tiny", "./none"), 1, "There is no model directory none"),
        ((talks, "punie-tiny", talks), 1, f"{talks} is named twice; name each model once."),
        ((talks, "--suite", "sing"), 2, "there is no suite 'sing'"),
        ((talks, "--short", "0"), 2, "--short"),
        ((), 2, "MODEL"),
    ):
        assert main(["compare", *arguments]) == code
        assert said in capsys.readouterr().err
    assert not list(tmp_path.glob("state/evaluations/*"))


@pytest.mark.usefixtures("own_folders")
def test_what_does_not_fit_or_is_too_slow_is_left_out(
    script: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PUNIE_MEMORY_GB", "0.01")
    talks = script({"text": "Yes."})
    cut = tmp_path / "cut"
    shutil.copytree(bundled_directory(), cut)
    os.truncate(cut / "model.safetensors", 1_000_000)
    asked = ["compare", talks, "punie-tiny", str(cut), *_TALK, "--most-seconds", "0.0001"]
    assert main([*asked, "--json"]) == 1
    found = models_of(capsys.readouterr().out)
    kinds = {name: each["left_out"]["kind"] for name, each in found.items() if name}
    assert kinds == {"script0.json": "slow", "punie-tiny": "too big", "cut": "damaged"}
    assert (
        "more than the 10 MB that models can use here"
        in (found["punie-tiny"]["left_out"]["sentence"])
    )
    assert found[""]["recommended"] is None

    # Without that limit the short run is taken as it is kept. It is compared with the one in use.
    monkeypatch.setenv("PUNIE_MODEL", "punie-tiny")
    assert main(["compare", talks, *_TALK]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "\n  punie-tiny   " in shown.out
    assert "Recommended: script0.json. It alone came through" in shown.out


def workers_of(parent: int) -> list[int]:
    shown = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    )
    rows = [line.split() for line in shown.stdout.splitlines()]
    return [int(row[0]) for row in rows if int(row[1]) == parent and _WORKER in row]


def worker_at_work(running: "subprocess.Popen[str]", state: Path) -> int:
    """Wait until a worker has a result, and return its number."""
    for _ in range(600):
        lines = [file.read_text() for file in state.glob("evaluations/.*unfinished/results.jsonl")]
        if any(lines) and (found := workers_of(running.pid)):
            return found[0]
        assert running.poll() is None, running.communicate()
        time.sleep(0.1)
    raise AssertionError("no worker came to a result")


def test_a_model_that_takes_its_process_along_leaves_the_others_to_go_on(
    punie: Command, script: Callable[..., str]
) -> None:
    slow, quick = script({"text": "No.", "delay": 0.3}), script({"text": "Yes."})
    asked = ("models", "compare", slow, quick, *_TALK, "--parallel", "1", "--json")
    running = punie.start(*asked)
    os.kill(worker_at_work(running, punie.state), signal.SIGKILL)
    out, err = running.communicate(timeout=_PATIENCE)
    assert running.returncode == 0, err
    first, second = json.loads(out)["models"]
    assert first["left_out"]["kind"] == "failed"
    assert (
        "was killed (SIGKILL), as the system does when memory runs"
        in (first["left_out"]["sentence"])
    )
    assert second["full"]["solved"]["of"] == 6
    # The same command takes that model up where it was.
    again = punie(*asked)
    assert again.returncode == 0, again.stderr
    assert [each["full"]["solved"]["of"] for each in json.loads(again.stdout)["models"]] == [6, 6]
    assert "0 of 6 items" not in again.stderr


def test_an_interrupt_stops_it_and_the_same_command_goes_on(
    punie: Command, script: Callable[..., str]
) -> None:
    slow, quick = script({"text": "No.", "delay": 0.3}), script({"text": "Yes."})
    asked = ("models", "compare", slow, quick, *_TALK, "--parallel", "1")
    running = punie.start(*asked)
    worker_at_work(running, punie.state)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=_PATIENCE)
    assert (running.returncode, out) == (130, "")
    assert "of 6 items; the same command goes on there." in err
    assert workers_of(running.pid) == []
    done = punie(*asked)
    assert done.returncode == 0, done.stderr
    assert "0 of 6 items" not in done.stderr.split("script1.json")[0]


def test_a_full_disk_ends_it_with_one_sentence(punie: Command, script: Callable[..., str]) -> None:
    sandbox = find_sandbox()
    if not isinstance(sandbox, Bubblewrap):
        pytest.skip("no bubblewrap to mount a small disk with")
    punie.state.mkdir()
    small = ["--dev-bind", "/", "/", "--size", "20000", "--tmpfs", str(punie.state)]
    models = [script({"text": f"Hello {number}. " * 200}) for number in range(2)]
    done = subprocess.run(
        [sandbox.program, *small, *punie.arguments("models", "compare", *models, *_TALK)],
        capture_output=True,
        text=True,
        env=punie.environment,
        cwd=punie.cwd,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "The disk is full" in done.stderr
    assert "script1.json" not in done.stderr
    assert "Traceback" not in done.stderr


def test_no_process_is_left_behind_a_killed_one(punie: Command, script: Callable[..., str]) -> None:
    slow = script({"text": "No.", "delay": 0.3})
    running = punie.start("models", "compare", slow, "punie-tiny", *_TALK, "--parallel", "1")
    worker = worker_at_work(running, punie.state)
    running.kill()
    running.communicate(timeout=_PATIENCE)
    for _ in range(600):
        if worker not in processes_of(_WORKER):
            return
        time.sleep(0.1)
    raise AssertionError("the process of the run goes on alone")
