"""The file of a project's rules: read anew, written whole, and never in the project's hands."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from punie.agent.permissions.rules import (
    COMMANDS,
    EDITS,
    ExactCommand,
    PathPattern,
    Rule,
    parse_command_pattern,
)
from punie.agent.permissions.store import Permissions, PermissionsError

PYTEST = Rule("allow", COMMANDS, parse_command_pattern("pytest *"))
PUSH = Rule("deny", COMMANDS, parse_command_pattern("git push *"))
SRC = Rule("allow", EDITS, PathPattern("src", folder=True))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "my project"
    folder.mkdir()
    return folder


@pytest.fixture
def store(tmp_path: Path, project: Path) -> Permissions:
    return Permissions(tmp_path / "config", project)


def test_nothing_is_there_at_first(store: Permissions) -> None:
    assert store.read().all == ()
    assert not store.path.parent.exists()


def test_rules_are_kept_in_order_and_once(store: Permissions) -> None:
    store.add([PYTEST, PUSH, PYTEST])
    store.add([PUSH, SRC])
    assert store.read().own == (PYTEST, PUSH, SRC)
    assert store.path.parent.stat().st_mode & 0o777 == 0o700
    assert store.path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in store.path.parent.iterdir()] == [store.path.name]


def test_the_file_says_what_it_is(store: Permissions, project: Path) -> None:
    store.add([PYTEST, Rule("allow", COMMANDS, ExactCommand("a && b\n# c"))])
    first, *rest = store.path.read_text().splitlines()
    assert first == f"# What Punie may do without asking, and never, in {project}"
    assert 'command = "pytest *"' in rest
    assert store.path.name.startswith("my-project-")


def test_each_project_has_a_file_of_its_own(tmp_path: Path, project: Path) -> None:
    other = tmp_path / "elsewhere" / "my project"
    other.mkdir(parents=True)
    Permissions(tmp_path, project).add([PYTEST])
    assert Permissions(tmp_path, other).read().all == ()
    link = tmp_path / "link"
    link.symlink_to(project)
    assert Permissions(tmp_path, link).read().own == (PYTEST,)


def test_what_a_person_wrote_stays(store: Permissions) -> None:
    store.add([PYTEST, PUSH])
    text = store.path.read_text()
    text = text.replace('command = "pytest *"', 'command   = "pytest *" # our tests')
    store.path.write_text(f"{text}\n# the end\n")
    store.add([SRC])
    assert store.revoke([2]) == (PUSH,)
    assert store.read().own == (PYTEST, SRC)
    text = store.path.read_text()
    assert 'command   = "pytest *" # our tests' in text
    assert "# the end" in text


def test_an_edit_counts_at_once(store: Permissions) -> None:
    store.add([PYTEST])
    assert store.read().own == (PYTEST,)
    text = store.path.read_text()
    before = store.path.stat()
    # Of the same size and with the same time, as an edit within a clock tick.
    store.path.write_text(text.replace("pytest *", "pytesx *"))
    os.utime(store.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store.read().own[0].target == parse_command_pattern("pytesx *")
    store.path.unlink()
    assert store.read().own == ()


def test_revoking(store: Permissions) -> None:
    store.add([PYTEST, PUSH, SRC])
    assert store.revoke([3, 1, 3]) == (PYTEST, SRC)
    for number in (0, 2, -1):
        with pytest.raises(PermissionsError, match=f"there is no rule {number}; there are 1 to 1"):
            store.revoke([number])
    assert store.revoke([1]) == (PUSH,)
    with pytest.raises(PermissionsError, match="this project has none of yours"):
        store.revoke([1])
    store.add([SRC])
    assert store.read().own == (SRC,)


def test_a_malformed_file_is_neither_used_nor_changed(store: Permissions) -> None:
    store.add([PYTEST])
    broken = store.path.read_text() + '[[rules]]\ndecision = "alow"\n'
    store.path.write_text(broken)
    line = broken.count("\n")
    for action in (store.read, lambda: store.add([PUSH]), lambda: store.revoke([1])):
        with pytest.raises(PermissionsError) as raised:
            action()
        fault = 'decision must be "allow" or "deny".'
        assert str(raised.value) == f"{store.path}, line {line}: {fault}"
    assert store.path.read_text() == broken
    store.path.write_text("")
    assert store.read().own == ()


def test_files_that_cannot_be_rules(store: Permissions, tmp_path: Path) -> None:
    store.path.parent.mkdir(parents=True)
    store.path.mkdir()
    with pytest.raises(PermissionsError, match=r"cannot be read: Is a directory\."):
        store.read()
    store.path.rmdir()
    os.mkfifo(store.path)
    with pytest.raises(PermissionsError, match="is no file"):
        store.read()
    store.path.unlink()
    store.path.write_bytes(b"# a\n# \xff\n")
    with pytest.raises(PermissionsError, match=r", line 2: this is not UTF-8 text\."):
        store.read()
    store.path.write_text("#" * 1_000_001)
    with pytest.raises(PermissionsError, match="is larger than"):
        store.read()
    store.path.unlink()
    store.path.symlink_to(tmp_path / "missing")
    with pytest.raises(PermissionsError, match="is a link that leads nowhere"):
        store.read()


@pytest.mark.parametrize("line", ["a\r\nb", "\ud800", "'\"\\ \t\x1b \u2028 é"])
def test_a_rule_is_stored_as_it_is_or_not_at_all(store: Permissions, line: str) -> None:
    rule = Rule("allow", COMMANDS, ExactCommand(line))
    store.add([PYTEST])
    with contextlib.suppress(PermissionsError):
        store.add([rule])
    assert store.read().own in ((PYTEST,), (PYTEST, rule))
    assert (rule in store.read().own) == ("\ud800" not in line)


def test_a_link_stays_a_link(store: Permissions, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.toml"
    real.write_text("# mine\n")
    store.path.parent.mkdir(parents=True)
    store.path.symlink_to(real)
    store.add([PYTEST])
    assert store.path.is_symlink()
    assert real.read_text().startswith("# mine\n")
    assert store.read().own == (PYTEST,)


def test_a_repository_may_forbid_but_never_allow(store: Permissions, project: Path) -> None:
    own = project / ".punie" / "permissions.toml"
    own.parent.mkdir()
    own.write_text('[[rules]]\ndecision = "deny"\ncommand = "git push *"\n')
    store.add([PYTEST])
    assert store.read().own == (PYTEST,)
    assert store.read().of_project == (PUSH,)
    own.write_text('\n[[rules]]\ndecision = "allow"\ncommand = "rm *"\n')
    with pytest.raises(PermissionsError) as raised:
        store.read()
    assert str(raised.value) == f"{own}, line 3: a project's own file may only deny."


def test_a_repository_cannot_hold_things_up_with_a_pipe(store: Permissions, project: Path) -> None:
    (project / ".punie").mkdir()
    os.mkfifo(project / ".punie" / "permissions.toml")
    with pytest.raises(PermissionsError, match="is no file"):
        store.read()


def test_a_folder_that_cannot_be_written_to(store: Permissions) -> None:
    store.config_dir.write_text("a file is in the way")
    with pytest.raises(PermissionsError) as raised:
        store.add([PYTEST])
    assert str(raised.value).startswith(f"{store.path} could not be written: ")
    assert str(raised.value).endswith(".")


ADD_MANY = """
import sys
from pathlib import Path
from punie.agent.permissions.rules import Rule, parse_command_pattern
from punie.agent.permissions.store import Permissions
config, project, name = sys.argv[1:]
store = Permissions(Path(config), Path(project))
for number in range(15):
    store.add([Rule("allow", "run_command", parse_command_pattern(f"{name}{number} *"))])
"""


def test_two_processes_lose_nothing(store: Permissions, project: Path) -> None:
    arguments = [sys.executable, "-c", ADD_MANY, str(store.config_dir), str(project)]
    processes = [subprocess.Popen([*arguments, name]) for name in ("a", "b")]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert len(store.read().own) == 30
