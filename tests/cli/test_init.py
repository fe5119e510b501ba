import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from punie.cli.jetbrains import is_transient, launch_path
from tests.cli.conftest import PUNIE, Command

OTHERS = """{
    "default_mcp_settings": {"use_idea_mcp": false},
    "agent_servers": {
        "Zed Agent": {"command": "/bin/zed", "args": [], "env": {"KEY": "käse"}},
        "Another": {"command": "/bin/other", "type": "custom"}
    },
    "unknown": [1, 2.5, null]
}
"""


def config(punie: Command) -> Path:
    return punie.home / ".jetbrains" / "acp.json"


def write(punie: Command, text: str) -> Path:
    config(punie).parent.mkdir(exist_ok=True)
    config(punie).write_text(text, encoding="utf-8")
    return config(punie)


def entry(punie: Command) -> dict[str, Any]:
    content = json.loads(config(punie).read_text(encoding="utf-8"))
    found: dict[str, Any] = content["agent_servers"]["Punie"]
    return found


def backups(punie: Command) -> list[Path]:
    return sorted(config(punie).parent.glob("*.bak"))


def files(punie: Command) -> list[str]:
    return sorted(path.name for path in config(punie).parent.iterdir())


def test_first_run_writes_an_entry_that_starts(punie: Command) -> None:
    done = punie("init")
    assert done.returncode == 0
    assert str(config(punie)) in done.stdout
    assert str(PUNIE) in done.stdout
    assert "Restart" in done.stdout or "restart" in done.stdout
    found = entry(punie)
    assert found["command"] == str(PUNIE)
    assert found["args"] == ["acp"]
    assert found["use_idea_mcp"] is True
    assert found["use_custom_mcp"] is True
    assert files(punie) == ["acp.json"]
    version = subprocess.run(
        [found["command"], "--version"], env=found["env"], capture_output=True, check=True
    )
    assert version.stdout.startswith(b"punie ")


def test_the_path_fits_a_launch_from_a_menu(punie: Command, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    punie("init", PATH=f"{tools}:relative:{tmp_path / 'missing'}:/usr/bin:/bin")
    folders = entry(punie)["env"]["PATH"].split(":")
    assert folders[0] == str(PUNIE.parent)
    assert str(tools) in folders
    assert "/usr/bin" in folders
    assert len(set(folders)) == len(folders)
    assert all(Path(folder).is_absolute() and Path(folder).is_dir() for folder in folders)


def test_a_second_run_changes_nothing(punie: Command) -> None:
    punie("init")
    before = config(punie).stat().st_mtime_ns
    done = punie("init")
    assert done.returncode == 0
    assert "needs no change" in done.stdout
    assert config(punie).stat().st_mtime_ns == before
    assert backups(punie) == []


def test_everything_else_is_kept_and_backed_up(punie: Command) -> None:
    write(punie, OTHERS)
    assert punie("init").returncode == 0
    after = json.loads(config(punie).read_text(encoding="utf-8"))
    assert list(after) == ["default_mcp_settings", "agent_servers", "unknown"]
    assert list(after["agent_servers"]) == ["Zed Agent", "Another", "Punie"]
    del after["agent_servers"]["Punie"]
    assert after == json.loads(OTHERS)
    assert [path.read_text(encoding="utf-8") for path in backups(punie)] == [OTHERS]
    text = config(punie).read_text(encoding="utf-8")
    assert "käse" in text
    assert "\n    " in text
    assert '\n  "' not in text


def test_what_the_user_set_in_the_entry_wins(punie: Command) -> None:
    write(
        punie,
        json.dumps(
            {
                "agent_servers": {
                    "Punie": {
                        "command": "/old/punie",
                        "args": ["acp", "--log-level", "DEBUG"],
                        "env": {"PUNIE_MODEL": "/m", "PATH": "/usr/bin"},
                        "use_idea_mcp": False,
                        "idea_mcp_allowed_tools": ["lint_files"],
                    }
                }
            }
        ),
    )
    punie("init", "--model", "/models/coder")
    found = entry(punie)
    assert found["command"] == str(PUNIE)
    assert found["args"] == ["acp", "--log-level", "DEBUG", "--model", "/models/coder"]
    assert found["env"]["PUNIE_MODEL"] == "/m"
    assert found["use_idea_mcp"] is False
    assert found["use_custom_mcp"] is True
    assert found["idea_mcp_allowed_tools"] == ["lint_files"]


def test_a_model_replaces_the_one_before(punie: Command) -> None:
    punie("init", "--model", "a")
    punie("init", "--model", "b")
    assert entry(punie)["args"] == ["acp", "--model", "b"]
    punie("init")
    assert entry(punie)["args"] == ["acp", "--model", "b"]


def test_dry_run_shows_the_diff_and_writes_nothing(punie: Command) -> None:
    path = write(punie, OTHERS)
    done = punie("init", "--dry-run")
    assert done.returncode == 0
    assert re.search(r'^\+ +"Punie"', done.stdout, re.MULTILINE)
    assert path.read_text(encoding="utf-8") == OTHERS
    assert files(punie) == ["acp.json"]


def test_dry_run_without_a_file(punie: Command) -> None:
    done = punie("init", "--dry-run")
    assert done.returncode == 0
    assert "+++ " in done.stdout
    assert not config(punie).parent.exists()


def test_remove_takes_out_only_punie(punie: Command) -> None:
    write(punie, OTHERS)
    punie("init")
    done = punie("init", "--remove")
    assert done.returncode == 0
    assert json.loads(config(punie).read_text(encoding="utf-8")) == json.loads(OTHERS)
    assert len(backups(punie)) == 2
    assert "needs no change" in punie("init", "--remove").stdout


def test_remove_without_a_file_creates_none(punie: Command) -> None:
    assert punie("init", "--remove").returncode == 0
    assert not config(punie).exists()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{\n  "agent_servers": {,}\n}', "line 2, column 21"),
        ('{"agent_servers": {}} // mine', "line 1, column 23"),
        ("[1]", "a list where an object belongs"),
        ("null", "null where an object belongs"),
        ('{"agent_servers": []}', "'agent_servers'"),
        ('{"agent_servers": {"Punie": "x"}}', "'Punie'"),
        ('{"agent_servers": {"Punie": {"env": []}}}', "'env'"),
        ('{"a": 1, "a": 2}', "'a' stands twice"),
    ],
)
@pytest.mark.parametrize("flags", [[], ["--remove"], ["--dry-run"]])
def test_an_unclear_file_is_refused_untouched(
    punie: Command, text: str, fault: str, flags: list[str]
) -> None:
    path = write(punie, text)
    done = punie("init", *flags)
    assert done.returncode == 1
    assert fault in done.stderr
    assert str(path) in done.stderr
    assert done.stderr.count("\n") == 1
    assert path.read_text(encoding="utf-8") == text
    assert files(punie) == ["acp.json"]


def test_bytes_that_are_no_text_are_refused(punie: Command) -> None:
    config(punie).parent.mkdir()
    config(punie).write_bytes(b'{"a": "\xff"}')
    done = punie("init")
    assert done.returncode == 1
    assert "not UTF-8 text (byte 7)" in done.stderr


@pytest.mark.parametrize("text", ["", "\n", "\ufeff"])
def test_an_empty_file_is_filled(punie: Command, text: str) -> None:
    write(punie, text)
    assert punie("init").returncode == 0
    assert entry(punie)["args"] == ["acp"]


def test_a_link_stays_a_link(punie: Command) -> None:
    real = punie.home / "dotfiles" / "acp.json"
    real.parent.mkdir()
    real.write_text(OTHERS, encoding="utf-8")
    config(punie).parent.mkdir()
    config(punie).symlink_to(real)
    assert punie("init").returncode == 0
    assert config(punie).is_symlink()
    assert "Punie" in real.read_text(encoding="utf-8")


def test_permissions_of_the_file_are_kept(punie: Command) -> None:
    write(punie, OTHERS).chmod(0o640)
    punie("init")
    assert config(punie).stat().st_mode & 0o777 == 0o640
    assert backups(punie)[0].stat().st_mode & 0o777 == 0o640


def test_a_new_file_is_only_the_users(punie: Command) -> None:
    punie("init")
    assert config(punie).stat().st_mode & 0o777 == 0o600


def test_a_file_in_place_of_the_folder(punie: Command) -> None:
    config(punie).parent.write_text("in the way", encoding="utf-8")
    done = punie("init")
    assert done.returncode == 1
    assert done.stderr.startswith("punie: ")
    assert "Traceback" not in done.stderr


def test_a_link_to_the_command_is_what_the_ide_starts(punie: Command, tmp_path: Path) -> None:
    linked = tmp_path / "bin" / "punie"
    linked.parent.mkdir()
    linked.symlink_to(PUNIE)
    subprocess.run([linked, "init"], env=punie.environment, check=True, capture_output=True)
    assert entry(punie)["command"] == str(linked)


def test_without_the_script_the_command_beside_python_is_used(punie: Command) -> None:
    code = "from punie.cli.main import main; main(['init'])"
    subprocess.run(
        [sys.executable, "-c", code], env=punie.environment, check=True, capture_output=True
    )
    assert entry(punie)["command"] == str(PUNIE)


@pytest.mark.parametrize(
    ("path", "transient"),
    [
        ("/home/u/.cache/uv/archive-v0/abc/bin/punie", True),
        ("/home/u/.local/pipx/.cache/abc/bin/punie", True),
        ("/home/u/.local/share/uv/tools/punie/bin/punie", False),
        ("/home/u/project/.venv/bin/punie", False),
    ],
)
def test_transient_commands_are_told_apart(path: str, *, transient: bool) -> None:
    assert is_transient(Path(path)) is transient


def test_a_transient_command_gets_a_warning(punie: Command, tmp_path: Path) -> None:
    linked = tmp_path / "uv" / "archive-v0" / "x" / "bin" / "punie"
    linked.parent.mkdir(parents=True)
    linked.symlink_to(PUNIE)
    done = subprocess.run(
        [linked, "init"], env=punie.environment, check=True, capture_output=True, text=True
    )
    assert "temporary environment" in done.stderr
    assert entry(punie)["command"] == str(linked)


def test_a_path_that_works_keeps_its_order() -> None:
    command = Path("/bin/punie")
    assert launch_path(command, "/usr/bin", "/usr:/bin").split(":")[:3] == [
        "/usr",
        "/bin",
        "/usr/bin",
    ]
    assert launch_path(command, "", "/usr").split(":")[:2] == ["/bin", "/usr"]


def test_remove_and_model_exclude_each_other(punie: Command) -> None:
    assert punie("init", "--remove", "--model", "x").returncode == 2
