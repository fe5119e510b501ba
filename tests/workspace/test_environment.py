import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.workspace import environment
from punie.workspace.base import CommandRequest
from punie.workspace.environment import (
    comes_from_a_terminal,
    command_environment,
    compose,
    project_venv,
)
from punie.workspace.local import LocalWorkspace
from punie.workspace.login_shell import LoginShell

BARE = "/usr/bin:/bin:/usr/sbin:/sbin"
LOGIN = {"PATH": "/opt/tools/bin:/usr/bin", "EDITOR": "vi", "ONLY_LOGIN": "1"}


def make_venv(folder: Path) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    return folder


@pytest.mark.parametrize(
    ("preloaded", "left"),
    [
        ("libopenblas.so.0", None),
        ("/opt/lib/libopenblas.so.0:/opt/lib/libjemalloc.so.2", "/opt/lib/libjemalloc.so.2"),
        ("/opt/a.so /home/me/.cache/punie/blas/shim-1.so /opt/b.so", "/opt/a.so /opt/b.so"),
    ],
)
def test_the_blas_in_front_of_mlx_is_for_punie_alone(preloaded: str, left: str | None) -> None:
    found = environment.without_private({"LD_PRELOAD": preloaded, "HOME": "/home/me"})
    assert found.get("LD_PRELOAD") == left
    assert found["HOME"] == "/home/me"


def test_nobody_chose_a_bare_path(tmp_path: Path) -> None:
    found = compose(tmp_path, {"PATH": BARE}, LOGIN)
    assert found["PATH"] == "/opt/tools/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    assert compose(tmp_path, {}, LOGIN)["PATH"] == LOGIN["PATH"]


def test_a_path_that_was_chosen_comes_before_the_login_shells(tmp_path: Path) -> None:
    found = compose(tmp_path, {"PATH": f"/mine:{BARE}"}, LOGIN)
    assert found["PATH"] == f"/mine:{BARE}:/opt/tools/bin"


def test_what_the_process_was_given_wins(tmp_path: Path) -> None:
    found = compose(tmp_path, {"PATH": BARE, "EDITOR": "nano"}, LOGIN)
    assert found["EDITOR"] == "nano"
    assert found["ONLY_LOGIN"] == "1"


def test_without_an_answer_the_usual_folders_are_added(tmp_path: Path) -> None:
    (tmp_path / ".local" / "bin").mkdir(parents=True)
    found = compose(tmp_path, {"PATH": "/mine", "HOME": str(tmp_path)}, None)
    folders = found["PATH"].split(":")
    assert folders[:2] == ["/mine", str(tmp_path / ".local" / "bin")]
    assert {"/usr/bin", "/bin"} <= set(folders)
    assert str(tmp_path / ".cargo" / "bin") not in folders


def test_relative_folders_are_no_place_for_programs(tmp_path: Path) -> None:
    found = compose(tmp_path, {"PATH": "/mine::.:bin:/mine"}, {"PATH": ".:/a"})
    assert found["PATH"] == "/mine:/a"


def test_variables_of_punie_itself_are_not_handed_on(tmp_path: Path) -> None:
    login = {"PATH": "/a", "PUNIE_MODEL": "m", "IJ_MCP_AUTH_TOKEN": "t"}
    process = {"PUNIE_MODE": "auto", "IJ_MCP_SERVER_PORT": "1", "KEPT": "1"}
    found = compose(tmp_path, environment.without_private(process), login)
    assert found == {"PATH": "/a", "KEPT": "1"}


@pytest.mark.parametrize("name", [".venv", "venv"])
def test_the_projects_virtual_environment_comes_first(tmp_path: Path, name: str) -> None:
    venv = make_venv(tmp_path / name)
    process = {"PATH": f"/mine:{venv}/bin", "VIRTUAL_ENV": "/other", "PYTHONHOME": "/usr"}
    found = compose(tmp_path, process, {})
    assert found["PATH"] == f"{venv}/bin:/mine"
    assert found["VIRTUAL_ENV"] == str(venv)
    assert "PYTHONHOME" not in found


def test_which_folder_is_the_virtual_environment(tmp_path: Path) -> None:
    assert project_venv(tmp_path, {}) is None
    (tmp_path / ".venv").mkdir()
    assert project_venv(tmp_path, {}) is None
    other = make_venv(tmp_path / "venv")
    assert project_venv(tmp_path, {}) == other
    first = make_venv(tmp_path / ".venv")
    assert project_venv(tmp_path, {}) == first
    named = make_venv(tmp_path / "env")
    assert project_venv(tmp_path, {"UV_PROJECT_ENVIRONMENT": "env"}) == named
    outside = make_venv(tmp_path.parent / f"{tmp_path.name}-env")
    assert project_venv(tmp_path, {"UV_PROJECT_ENVIRONMENT": str(outside)}) == outside
    assert project_venv(tmp_path, {"UV_PROJECT_ENVIRONMENT": "gone"}) == first


def test_a_python_that_cannot_run_is_no_environment(tmp_path: Path) -> None:
    venv = make_venv(tmp_path / ".venv")
    (venv / "bin" / "python").unlink()
    (venv / "bin" / "python").symlink_to(tmp_path / "gone")
    assert project_venv(tmp_path, {}) is None
    (venv / "bin" / "python").unlink()
    (venv / "bin" / "python").write_text("")
    assert project_venv(tmp_path, {}) is None


def test_punies_own_virtual_environment_does_not_leak(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = make_venv(tmp_path / "punie-venv")
    monkeypatch.setattr(sys, "prefix", str(own))
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    process = {"PATH": f"{own}/bin:/mine", "VIRTUAL_ENV": str(own)}
    found = compose(tmp_path / "project", process, {})
    assert found == {"PATH": "/mine"}
    # Another one, which the user has activated, is theirs.
    found = compose(tmp_path / "project", {**process, "VIRTUAL_ENV": "/theirs"}, {})
    assert found["VIRTUAL_ENV"] == "/theirs"
    # And so is Punie's, when the project is developed in it.
    project = tmp_path / "project"
    project.mkdir()
    (project / ".venv").symlink_to(own)
    found = compose(project, process, {})
    assert found["VIRTUAL_ENV"] == str(project / ".venv")
    assert found["PATH"].startswith(f"{project}/.venv/bin:")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"TERM": "xterm", "SHLVL": "1", "PATH": f"/mine:{BARE}"}, True),
        ({"TERM": "xterm", "SHLVL": "1", "PATH": BARE}, False),
        ({"TERM": "dumb", "SHLVL": "1", "PATH": f"/mine:{BARE}"}, False),
        ({"SHLVL": "0", "PATH": f"/mine:{BARE}"}, False),
        ({"TERM": "xterm", "PATH": f"/mine:{BARE}"}, False),
        ({}, False),
    ],
)
def test_whether_a_terminal_started_us(variables: dict[str, str], expected: bool) -> None:
    assert comes_from_a_terminal(variables) is expected


PATHS = st.lists(st.sampled_from(["", "/a", "/b", "/usr/bin", "rel", "."])).map(":".join)


@given(own=PATHS, login=PATHS)
def test_no_folder_is_lost_or_doubled(own: str, login: str) -> None:
    found = compose(Path("/nowhere"), {"PATH": own}, {"PATH": login})["PATH"].split(":")
    wanted = {folder for folder in f"{own}:{login}".split(":") if folder.startswith("/")}
    assert set(found) - {""} == wanted
    assert len(found) == len(set(found))


@pytest.mark.anyio
async def test_commands_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole way: a profile, a project with a virtual environment, a command."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".bash_profile").write_text(
        "echo welcome\nexport PATH=/from/profile:$PATH\nexport SAYS='two\nlines'\n"
    )
    project = tmp_path / "project"
    venv = make_venv(project / ".venv")
    monkeypatch.setattr(environment, "_login_shell", LoginShell(20))
    for name in list(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("SHELL", "/bin/bash")
    monkeypatch.setenv("PUNIE_MODE", "auto")
    workspace = LocalWorkspace([project])
    command = 'echo "$PATH|$VIRTUAL_ENV|$SAYS|$PUNIE_MODE"'
    request = CommandRequest(command, project, 30.0)
    shown = (await workspace.run(request)).output.split("|")
    folders = shown[0].split(":")
    assert folders[:2] == [f"{venv}/bin", "/from/profile"]
    assert {"/usr/bin", "/bin"} <= set(folders)
    assert shown[1:] == [str(venv), "two\nlines", "\n"]
    assert (await command_environment(project))["SAYS"] == "two\nlines"
    await workspace.aclose()
