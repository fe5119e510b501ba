import subprocess
import sys
from pathlib import Path

import pytest

from punie import __version__
from punie.cli.main import COMMANDS, main
from tests.cli.conftest import Command

HEAVY = ("pydantic_ai", "mlx", "mlx_lm", "transformers", "numpy", "structlog", "rich", "typer")


def modules_after(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter holds after running `code`."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sorted(sys.modules), file=sys.stderr)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in done.stderr.split()}


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_version(punie: Command, flag: str) -> None:
    done = punie(flag)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"punie {__version__}\n", "")


def test_version_imports_next_to_nothing() -> None:
    loaded = modules_after("from punie.cli.main import main; main(['--version'])")
    assert not loaded & {*HEAVY, "pydantic", "acp", "argparse", "asyncio", "logging"}


def test_acp_imports_nothing_heavy_before_it_serves() -> None:
    loaded = modules_after("import punie.cli.acp, punie.settings, punie.logs.setup")
    assert not loaded & set(HEAVY)


def test_all_that_acp_needs_to_serve_is_light() -> None:
    loaded = modules_after(
        "import punie.cli.acp, punie.settings, punie.logs.setup, punie.acp.serve"
    )
    assert "acp" in loaded
    assert not loaded & set(HEAVY)


def test_the_bridge_to_the_server_is_light() -> None:
    loaded = modules_after(
        "import punie.cli.acp, punie.cli.engine, punie.settings, punie.models.sharing\n"
        "import punie.client.bridge"
    )
    assert "websockets" in loaded
    assert not loaded & {*HEAVY, "acp", "starlette", "uvicorn", "sqlite3"}


def test_kept_runs_are_shown_without_the_agent() -> None:
    loaded = modules_after("import punie.cli.track, punie.evaluation.tracker.exporting")
    assert not loaded & {"pydantic_ai", "mlx", "acp"}


def test_help_lists_every_command(punie: Command) -> None:
    for arguments in ((), ("--help",)):
        done = punie(*arguments)
        assert done.returncode == 0
        for command in COMMANDS:
            assert command.name in done.stdout
            assert command.summary in done.stdout


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_every_command_explains_itself(punie: Command, command: str) -> None:
    done = punie(command, "--help")
    assert done.returncode == 0
    assert f"punie {command}" in done.stdout
    assert "[[" not in done.stdout
    assert "--no-" not in done.stdout  # What can be said need not have an opposite.
    assert done.stderr == ""


@pytest.mark.parametrize("arguments", [["nope"], ["--nope"], ["logs", "--nope"], ["acp", "--nope"]])
def test_unknown_commands_and_options_are_wrong_usage(punie: Command, arguments: list[str]) -> None:
    done = punie(*arguments)
    assert done.returncode == 2
    assert "nope" in done.stderr
    assert "Traceback" not in done.stderr


def test_acp_refuses_wrong_settings_in_one_sentence(punie: Command) -> None:
    done = punie("acp", "--mode", "wild")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "punie: mode in the command line is 'wild', but it should be 'ask', 'accept_edits', "
        "'plan' or 'auto'.\n"
    )


def test_acp_reads_the_users_settings_file(punie: Command) -> None:
    file = punie.home / "config" / "settings.toml"
    file.parent.mkdir()
    file.write_text("max_tokens = 'many'\n", encoding="utf-8")
    done = punie("acp")
    assert done.returncode == 2
    assert str(file) in done.stderr
    assert "max_tokens" in done.stderr


def test_command_table_names_modules_that_exist() -> None:
    for command in COMMANDS:
        assert callable(__import__(command.module, fromlist=["main"]).main)


@pytest.mark.parametrize("arguments", [["undo"], ["models", "list"]])
def test_a_folder_that_is_gone_is_told_in_one_sentence(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert main(arguments) == 1
    assert capsys.readouterr().err == (
        "punie: this folder is not there any more; change into one that is, and try again.\n"
    )
