"""Real shells with real profiles in a home of their own."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from punie.workspace import processes
from punie.workspace.login_shell import LoginShell, LoginShellError, ask_login_shell, user_shell

SHELLS = {
    "bash": (".bash_profile", "export {}={}\n"),
    "zsh": (".zshrc", "export {}={}\n"),
    "fish": (".config/fish/config.fish", "set -gx {} {}\n"),
    "sh": (".profile", "export {}={}\n"),
    "ksh": (".profile", "export {}={}\n"),
}
INSTALLED = [name for name in SHELLS if shutil.which(name)]

Home = Callable[..., dict[str, str]]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Return the bare environment of a desktop program, in a home with this profile."""

    def make(profile: str, file: str = ".bash_profile", shell: str = "bash") -> dict[str, str]:
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(profile)
        program = shutil.which(shell)
        assert program is not None
        return {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "SHELL": program}

    return make


@pytest.mark.parametrize("shell", INSTALLED)
def test_what_the_profile_exports(home: Home, shell: str) -> None:
    file, export = SHELLS[shell]
    environment = home(export.format("SEES_IT", "'a b'"), file, shell)
    found = ask_login_shell(environment, 20)
    assert found["SEES_IT"] == "a b"
    assert found["HOME"] == environment["HOME"]
    # What only tells of the shell that was asked is left out.
    assert not {"PWD", "SHLVL", "_", "TERM"} & found.keys()
    assert not processes.live_groups()


@pytest.mark.parametrize("shell", INSTALLED)
def test_what_the_profile_prints_does_no_harm(home: Home, shell: str) -> None:
    file, export = SHELLS[shell]
    noise = "echo 'FAKE=1'; printf 'no end'; echo trouble >&2\n"
    found = ask_login_shell(home(noise + export.format("REAL", "1"), file, shell), 20)
    assert found["REAL"] == "1"
    assert "FAKE" not in found
    assert not any("no end" in name for name in found)


def test_values_of_many_lines_and_odd_bytes(home: Home) -> None:
    profile = "export LINES_OF='one\ntwo=2\n\n'\nexport ODD=$'\\377x'\nexport EMPTY=\n"
    found = ask_login_shell(home(profile), 20)
    assert found["LINES_OF"] == "one\ntwo=2\n\n"
    assert os.fsencode(found["ODD"]) == b"\xffx"
    assert found["EMPTY"] == ""
    assert "two" not in found


def test_a_file_that_only_interactive_shells_read(home: Home) -> None:
    profile = '[[ $- == *i* ]] || return\nexport PATH="$HOME/tools:$PATH"\n'
    environment = home(profile, ".bashrc")
    (Path(environment["HOME"]) / ".bash_profile").write_text("source ~/.bashrc\n")
    assert ask_login_shell(environment, 20)["PATH"].startswith(environment["HOME"] + "/tools:")


def test_an_interactive_profile_that_leaves_is_asked_again_without(home: Home) -> None:
    profile = "export BEFORE=1\n[[ $- == *i* ]] && exec false\nexport AFTER=1\n"
    found = ask_login_shell(home(profile), 20)
    assert found["AFTER"] == "1"


def test_a_profile_can_tell_that_it_is_only_asked(home: Home) -> None:
    profile = '[ -n "$PUNIE_RESOLVING_ENVIRONMENT" ] || sleep 60\nexport DONE=1\n'
    assert ask_login_shell(home(profile), 20)["DONE"] == "1"


@pytest.mark.parametrize(
    ("profile", "reason"),
    [
        ("sleep 60\n", "took too long"),
        ("trap '' TERM INT HUP; while :; do sleep 60; done\n", "took too long"),
        ("exit 3\n", "ended it early"),
        ("yes\n", "(prints without end|took too long)"),
        ("exec >/dev/null\n", "ended it early"),
    ],
)
def test_a_profile_that_never_gets_there(home: Home, profile: str, reason: str) -> None:
    begin = time.monotonic()
    with pytest.raises(LoginShellError, match=reason):
        ask_login_shell(home(profile), 1.5)
    assert time.monotonic() - begin < 15
    assert not processes.live_groups()


def test_a_daemon_of_the_profile_does_not_hold_the_answer(home: Home) -> None:
    # It keeps the pipe open, so the end of the stream never comes.
    found = ask_login_shell(home("sleep 300 &\nexport DONE=1\n"), 20)
    assert found["DONE"] == "1"
    assert not processes.live_groups()


def test_a_profile_that_reads_finds_nothing(home: Home) -> None:
    assert ask_login_shell(home("read answer\nexport DONE=1\n"), 20)["DONE"] == "1"


def test_shells_that_cannot_be_asked(tmp_path: Path) -> None:
    odd = tmp_path / "elvish"
    odd.write_text("#!/bin/sh\ntouch started\n")
    odd.chmod(0o755)
    with pytest.raises(LoginShellError, match="elvish is a shell that cannot be asked"):
        ask_login_shell({"SHELL": str(odd), "HOME": str(tmp_path)}, 5)
    assert not (tmp_path / "started").exists()


def test_the_shell_is_named_by_the_environment_or_the_user_database() -> None:
    assert user_shell({"SHELL": "/bin/sh"}) == Path("/bin/sh")
    for useless in ("", "sh", "/no/such/shell"):
        shell = user_shell({"SHELL": useless})
        assert shell is None or shell.is_absolute()
        assert shell != Path(useless)


def test_it_is_asked_once(home: Home) -> None:
    environment = home('echo x >> "$HOME/asked"; export DONE=1\n')
    shell = LoginShell(20)
    assert shell.environment(environment) == shell.environment(environment)
    assert (Path(environment["HOME"]) / "asked").read_text() == "x\n"


def test_a_failure_is_remembered_too(home: Home) -> None:
    environment = home('echo x >> "$HOME/asked"; sleep 60\n')
    shell = LoginShell(1.5)
    assert shell.environment(environment) is None
    begin = time.monotonic()
    assert shell.environment(environment) is None
    assert time.monotonic() - begin < 1
    assert (Path(environment["HOME"]) / "asked").read_text() == "x\n"
