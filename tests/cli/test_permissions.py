"""`punie permissions`: lists, revokes and adds the rules of a project."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Command


def add(punie: Command, *arguments: str) -> None:
    done = punie("permissions", *arguments)
    assert (done.returncode, done.stderr) == (0, "")


def file_of(punie: Command) -> Path:
    return Path(punie("permissions", "--path").stdout.strip())


def test_there_are_none_at_first(punie: Command) -> None:
    done = punie("permissions")
    assert done.returncode == 0
    assert done.stdout == f"There are no rules for {punie.cwd}; the mode alone decides.\n"
    assert punie("permissions", "--json").stdout == "[]\n"
    assert not file_of(punie).exists()


def test_rules_are_added_listed_and_revoked(punie: Command) -> None:
    allow = ("--allow", "pytest *", "--allow", "make test")
    done = punie("permissions", *allow, "--deny", "git push *")
    assert done.stdout == (
        "Stored: always allow `pytest *`.\n"
        "Stored: always allow `make test`.\n"
        "Stored: never allow `git push *`.\n"
    )
    add(punie, "--tool", "edit", "--allow", "src/**")
    add(punie, "--tool", "idea_run", "--deny", "*", "--allow", '{"b": 1, "a": [2]}')
    listed = punie("permissions").stdout.splitlines()
    assert listed == [
        "  1  always allow `pytest *`",
        "  2  always allow `make test`",
        "  3  never allow `git push *`",
        "  4  always allow edits in `src/**`",
        '  5  always allow `idea_run` with exactly {"a": [2], "b": 1}',
        "  6  never allow `idea_run`",
    ]
    done = punie("permissions", "--revoke", "2", "6")
    assert done.stdout == "Revoked: always allow `make test`.\nRevoked: never allow `idea_run`.\n"
    assert len(punie("permissions").stdout.splitlines()) == 4


def test_as_json(punie: Command) -> None:
    add(punie, "--allow", "pytest *")
    own = punie.cwd / ".punie" / "permissions.toml"
    own.parent.mkdir()
    own.write_text('[[rules]]\ndecision = "deny"\npath = "x"\n')
    assert json.loads(punie("permissions", "--json").stdout) == [
        {
            "number": 1,
            "tool": "run_command",
            "decision": "allow",
            "command": "pytest *",
            "file": str(file_of(punie)),
        },
        {"number": None, "tool": "edit", "decision": "deny", "path": "x", "file": str(own)},
    ]
    assert f"  -  never allow edits of `x`  ({own})" in punie("permissions").stdout


def test_another_project(punie: Command, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    add(punie, "--project", str(other), "--allow", "pytest *")
    assert "There are no rules" in punie("permissions").stdout
    assert "`pytest *`" in punie("permissions", "--project", "../other").stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--allow", "*"], "every call of run_command is too much to allow; choose mode auto."),
        (["--allow", "a; b"], "`a; b` is not one command; "),
        (["--allow", "sudo *"], "`sudo *` does not name the command that is run."),
        (["--tool", "edit", "--allow", "*.py"], "`*.py` is no path; "),
        (["--tool", "edit", "--deny", "../x"], "`../x` is not relative to the project."),
        (
            ["--tool", "x", "--allow", "y"],
            'arguments must be a JSON object such as {"path": "a.py"}, or * for any.',
        ),
        (["--revoke", "1"], "there is no rule 1; there are none."),
        (["2"], "numbers only follow --revoke."),
        (["--path", "--revoke", "1"], "--revoke, --path and --allow or --deny exclude each other."),
        (["--project", "/no/such/folder"], "there is no folder /no/such/folder."),
    ],
)
def test_wrong_usage_is_one_sentence(punie: Command, arguments: list[str], sentence: str) -> None:
    done = punie("permissions", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"punie: {sentence}")
    assert done.stderr.count("\n") == 1
    assert not file_of(punie).exists()


def test_numbers_must_be_numbers(punie: Command) -> None:
    done = punie("permissions", "--revoke", "one")
    assert done.returncode == 2
    assert "'--revoke'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_file_is_named_with_its_line(punie: Command) -> None:
    add(punie, "--allow", "pytest *")
    file = file_of(punie)
    file.write_text(file.read_text() + 'x = "y"\n')
    line = file.read_text().count("\n")
    for arguments in ([], ["--json"], ["--revoke", "1"], ["--deny", "rm *"]):
        done = punie("permissions", *arguments)
        assert done.returncode == 1
        assert done.stderr.startswith(f"punie: {file}, line {line}: 'x' is not known; ")
        assert done.stdout == ""


def test_a_folder_that_cannot_be_written_to(punie: Command) -> None:
    (punie.home / "config").write_text("a file is in the way")
    done = punie("permissions", "--allow", "pytest *")
    assert done.returncode == 1
    assert "could not be written" in done.stderr
    assert "Traceback" not in done.stderr
