import subprocess
from pathlib import Path

import pytest

from punie.cli.checks import Finding, Subject, run_check
from punie.settings import Settings
from tests.cli.conftest import Command


def line(done: "subprocess.CompletedProcess[str]", subject: str) -> str:
    (found,) = [row for row in done.stdout.splitlines() if row[3:].startswith(f"{subject}: ")]
    return found


def test_each_subject_gets_one_line(punie: Command) -> None:
    done = punie("doctor")
    for subject in ("settings", "Python", "platform", "MLX", "model", "memory", "search", "IDE"):
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


def test_a_model_that_cannot_be_loaded(punie: Command, tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{}", encoding="utf-8")
    done = punie("doctor", "--load", "--model", f"scripted:{broken}")
    assert line(done, "model").startswith("ok ")
    assert line(done, "loading").startswith("no ")
    assert done.returncode == 1


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
