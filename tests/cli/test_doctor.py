import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from punie.cli import checks
from punie.cli.checks import Finding, Subject, run_check
from punie.models import blas, sharing
from punie.models.machine import MachineMemory
from punie.settings import Settings
from punie.workspace.sandbox import detect
from punie.workspace.sandbox.bubblewrap import Bubblewrap
from punie.workspace.sandbox.detect import NoSandbox
from tests.cli.conftest import Command
from tests.models.tiny_model import build_model


def line(done: "subprocess.CompletedProcess[str]", subject: str) -> str:
    (found,) = [row for row in done.stdout.splitlines() if row[3:].startswith(f"{subject}: ")]
    return found


def test_each_subject_gets_one_line(punie: Command) -> None:
    done = punie("doctor")
    subjects = "settings Python platform MLX model memory search sandbox IDE"
    for subject in subjects.split():
        assert line(done, subject)
    assert line(done, "Python").startswith("ok ")
    assert line(done, "MLX").startswith("ok ")
    assert line(done, "search").startswith("ok ")
    assert line(done, "state folder").endswith(str(punie.state))
    assert line(done, "IDE").endswith("→ run `punie init`")
    assert "Traceback" not in done.stdout + done.stderr
    assert done.returncode == int(any(row.startswith("no ") for row in done.stdout.splitlines()))


def test_after_init_the_ide_is_fine(punie: Command) -> None:
    punie("init")
    assert line(punie("doctor"), "IDE").startswith("ok ")


def test_a_command_that_is_gone_is_a_failure(punie: Command) -> None:
    file = punie.home / ".jetbrains" / "acp.json"
    file.parent.mkdir()
    file.write_text('{"agent_servers": {"Punie": {"command": "/gone/punie"}}}', encoding="utf-8")
    done = punie("doctor")
    assert line(done, "IDE").startswith("no ")
    assert "/gone/punie" in line(done, "IDE")
    assert done.returncode == 1


def test_a_broken_acp_json_is_a_failure(punie: Command) -> None:
    file = punie.home / ".jetbrains" / "acp.json"
    file.parent.mkdir()
    file.write_text("{", encoding="utf-8")
    done = punie("doctor")
    assert "line 1" in line(done, "IDE")
    assert done.returncode == 1


def test_a_missing_model_names_the_cure(punie: Command) -> None:
    done = punie("doctor", "--model", "/no/such/model")
    assert line(done, "model").startswith("no ")
    assert "/no/such/model" in line(done, "model")
    assert done.returncode == 1


def test_a_cut_off_model_is_told_without_loading_it(punie: Command, tmp_path: Path) -> None:
    model = build_model(tmp_path / "model")
    done = punie("doctor", "--model", str(model))
    assert line(done, "model").startswith("ok ")
    assert re.search(r"ok memory: .* free\. It needs about \d+ MB with 4,096 tokens", done.stdout)
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    done = punie("doctor", "--model", str(model))
    assert line(done, "model").startswith("no ")
    assert "pull or convert the model again" in line(done, "model")


@pytest.mark.parametrize(
    ("usable", "available", "status", "cure"),
    [
        (1 << 40, 1 << 40, "ok", ""),
        (1 << 40, 1 << 10, "warning", "close other programs before using it"),
        (1 << 10, 1 << 10, "failure", "choose a smaller model or one of fewer bits"),
    ],
)
def test_whether_the_model_fits_into_memory(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    usable: int,
    available: int,
    status: str,
    cure: str,
) -> None:
    model = build_model(tmp_path / "model")
    memory = MachineMemory(1 << 40, usable, available, "ram")
    monkeypatch.setattr(checks, "machine_memory", lambda: memory)
    _, finding = run_check(checks.check_chosen_model, Subject(Settings(model=str(model)), tmp_path))
    assert (finding.subject, finding.status, finding.cure) == ("memory", status, cure)


@pytest.mark.skipif(sys.platform != "linux", reason="MLX uses the platform's own BLAS elsewhere")
def test_a_slow_blas_is_told_with_its_cure(
    punie: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = line(punie("doctor"), "BLAS")
    assert found.startswith("!  ")
    assert "LD_PRELOAD" in found
    compiler, openblas = shutil.which("cc"), blas._openblas_library()
    if compiler is None or openblas is None:
        pytest.skip("needs a C compiler and scipy-openblas32 to put OpenBLAS in front")
    shim = blas._compiled_shim(compiler, openblas, tmp_path)
    found = line(punie("doctor", LD_PRELOAD=str(shim)), "BLAS")
    assert found.startswith(f"ok BLAS: {shim.name}, ")
    # Its threads would keep bubblewrap from ending.
    if isinstance(sandbox := detect.find_sandbox(), Bubblewrap):
        monkeypatch.setenv("LD_PRELOAD", str(shim))
        assert detect.fault_of(sandbox) is None


def test_a_model_that_cannot_be_loaded(punie: Command, tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{}", encoding="utf-8")
    done = punie("doctor", "--load", "--model", f"scripted:{broken}")
    assert line(done, "model").startswith("ok ")
    assert line(done, "loading").startswith("no ")
    assert done.returncode == 1


def test_what_bounds_models_is_taken_into_account(punie: Command, tmp_path: Path) -> None:
    model, draft = build_model(tmp_path / "model"), build_model(tmp_path / "draft", seed=3)
    bounds = {"PUNIE_IDLE_MINUTES": "0", "PUNIE_PREFIX_CACHE_GB": "0"}
    chosen = ("--model", str(model), "--load")
    done = punie("doctor", *chosen, **bounds, PUNIE_DRAFT_MODEL=str(draft))
    assert line(done, "settings").startswith("ok ")
    assert line(done, "draft model").startswith("ok ")
    assert line(done, "memory").startswith("ok ")
    assert line(done, "loading").startswith("ok ")
    done = punie("doctor", "--model", str(model), PUNIE_MEMORY_GB="0.001")
    assert line(done, "memory").startswith("no ")
    # One that is missing, and one that only loading finds out about.
    done = punie("doctor", *chosen, PUNIE_DRAFT_MODEL="/no/such/draft")
    assert "/no/such/draft" in line(done, "draft model")
    assert line(done, "draft model").startswith("!  ")
    done = punie("doctor", *chosen, PUNIE_DRAFT_MODEL="punie-tiny")
    assert "has other tokens" in done.stdout
    assert done.stdout.count("loading: ") == 2


def test_wrong_settings_are_one_line_among_the_others(punie: Command) -> None:
    done = punie("doctor", PUNIE_MODE="wild")
    assert "PUNIE_MODE" in line(done, "settings")
    assert line(done, "Python").startswith("ok ")
    assert done.returncode == 1


def test_a_state_folder_that_cannot_be_written(punie: Command) -> None:
    punie.state.write_text("in the way", encoding="utf-8")
    done = punie("doctor")
    assert line(done, "state folder").startswith("no ")
    assert done.returncode == 1


def test_a_check_that_fails_is_a_finding() -> None:
    def check_of_luck(subject: Subject) -> list[Finding]:
        raise RuntimeError("bad\nluck")

    (finding,) = run_check(check_of_luck, Subject(Settings(), Path.home()))
    assert finding.status == "failure"
    assert "bad luck" in finding.text


@pytest.mark.parametrize("extra", [["--load", "x"], ["--nope"]])
def test_wrong_usage(punie: Command, extra: list[str]) -> None:
    assert punie("doctor", *extra).returncode == 2


@pytest.mark.parametrize(
    ("sandbox", "found", "finding"),
    [
        (
            "on",
            Bubblewrap("/bin/bwrap", "bubblewrap 9", True, True, True),
            ("ok", "bubblewrap 9 (/bin/bwrap), no network"),
        ),
        (
            "always",
            Bubblewrap("/b", "b 9", True, False, True),
            ("ok", "b 9 (/b), without process numbers of its own, no network"),
        ),
        (
            "on",
            NoSandbox("no namespaces"),
            ("warning", "none works (no namespaces), so auto mode asks about commands too"),
        ),
        (
            "off",
            NoSandbox("not looked at"),
            ("warning", "off: commands run with all that you may do"),
        ),
    ],
)
def test_the_sandbox(
    monkeypatch: pytest.MonkeyPatch,
    sandbox: Literal["on", "always", "off"],
    found: Bubblewrap | NoSandbox,
    finding: tuple[str, str],
) -> None:
    monkeypatch.setattr(detect, "find_sandbox", lambda: found)
    (row,) = run_check(checks.check_sandbox, Subject(Settings(sandbox=sandbox), Path("/home")))
    assert (row.status, row.text) == finding


@pytest.mark.parametrize(
    ("engine", "memory", "expected"),
    [
        ("auto", 24, ("ok", "shared: projects use the server, which is not running (")),
        ("auto", 64, ("ok", "in-process: each project has its own model (")),
        ("shared", 64, ("ok", "shared: projects use the server, which is not running (engine")),
        ("in-process", 24, ("warning", "in-process: each project loads the model (")),
    ],
)
def test_the_engine_that_is_used_and_why(
    engine: str,
    memory: int,
    expected: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = build_model(tmp_path / "model")
    with (model / "model-2.safetensors").open("wb") as file:
        file.truncate(10 * 10**9)
    total = memory * 10**9
    found = MachineMemory(total, total, total, "ram")
    monkeypatch.setattr(sharing, "machine_memory", lambda **_: found)
    settings = Settings.model_validate(
        {"model": str(model), "engine": engine, "state_dir": tmp_path}
    )
    (finding,) = checks.check_engine(Subject(settings, tmp_path))
    assert finding.status == expected[0]
    assert finding.text.startswith(expected[1])
