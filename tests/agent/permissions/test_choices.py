"""The answers that are offered, and what each would store."""

from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from punie.agent.permissions.choices import LONGEST_NAME, Offer, cut_middle, offers
from punie.agent.permissions.judging import (
    Call,
    CommandCall,
    FilesCall,
    OtherCall,
    Permitted,
    Place,
    judge,
)
from punie.agent.permissions.rules import COMMANDS, Rule, parse_command_pattern
from punie.agent.permissions.shell import read_command_line
from tests.agent.permissions.compositions import Composition, compositions

KINDS = {
    "allow_once": "allow_once",
    "allow_always": "allow_always",
    "allow_always_pattern": "allow_always",
    "reject_once": "reject_once",
    "reject_always": "reject_always",
}


def command(text: str) -> CommandCall:
    return CommandCall(COMMANDS, read_command_line(text))


def named(call: Call, place: Place, rules: Sequence[Rule] = ()) -> dict[str, str]:
    return {offer.choice.id: offer.choice.name for offer in offers(call, rules, place)}


def pattern(text: str, place: Place, rules: Sequence[Rule] = ()) -> str | None:
    return named(command(text), place, rules).get("allow_always_pattern")


def test_the_answers_for_a_command(place: Place) -> None:
    assert named(command("pytest -q tests/x.py"), place) == {
        "allow_once": "Allow",
        "allow_always": "Always allow exactly `pytest -q tests/x.py`",
        "allow_always_pattern": "Always allow `pytest *` in this project",
        "reject_once": "Deny",
        "reject_always": "Never allow `pytest *`",
    }


def test_the_answers_for_an_edit(place: Place) -> None:
    assert named(FilesCall("edit_file", ("src/a.py",)), place) == {
        "allow_once": "Allow",
        "allow_always": "Always allow edits of `src/a.py`",
        "allow_always_pattern": "Always allow edits in `src/**` in this project",
        "reject_once": "Deny",
        "reject_always": "Never allow edits of `src/a.py`",
    }


@pytest.mark.parametrize("name", ["README.md", ".git/hooks/pre-commit", "/other/root/x"])
def test_no_folder_is_offered_where_it_would_be_too_wide(place: Place, name: str) -> None:
    found = named(FilesCall("edit_file", (name,)), place)
    assert "allow_always_pattern" not in found
    assert found["allow_always"] == f"Always allow edits of `{name}`"


@pytest.mark.parametrize("names", [(), (None,), ("a", "b"), ("what*",)])
def test_edits_without_one_plain_name_are_asked_about_each_time(
    place: Place, names: tuple[str | None, ...]
) -> None:
    assert list(named(FilesCall("edit_file", names), place)) == ["allow_once", "reject_once"]


def test_the_answers_for_another_tool(place: Place) -> None:
    assert named(OtherCall("idea_rename", '{"to": "x"}'), place) == {
        "allow_once": "Allow",
        "allow_always": "Always allow `idea_rename` with exactly these arguments",
        "allow_always_pattern": "Always allow `idea_rename` in this project",
        "reject_once": "Deny",
        "reject_always": "Never allow `idea_rename`",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("git commit -m 'a b'", "`git commit *`"),
        ("ruff check . && pytest -q", "`ruff *`, `pytest *`"),
        ("pytest 2>&1 | tail -20", "`pytest *`, `tail *`"),
        ("python -m mypy .", "`python -m mypy *`"),
        ("python tools/x.py --all", "`python tools/x.py *`"),
        ("uv run pytest -q", "`pytest *`"),
        ("uv run tool.py -a", "`uv run tool.py *`"),
        ("cd src && pytest", "`cd src`, `pytest *`"),
        ("make test; ls", "`make test`, `ls *`"),
        ("./scripts/check.sh -v", "`./scripts/check.sh *`"),
        ("for f in *.py; do ruff check $f; done", "`ruff *`"),
        ("find . -name x -exec grep y {} +", "`grep *`, `find *`"),
    ],
)
def test_patterns_that_are_offered(place: Place, text: str, expected: str) -> None:
    assert pattern(text, place) == f"Always allow {expected} in this project"


@pytest.mark.parametrize(
    "text",
    [
        "rm -rf build",
        "sudo apt update",
        'sh -c "$x"',
        "sh run.sh",
        "python -c 'print(1)'",
        "python3.12 -c 1",
        "python -m pip install x",
        "python -m http.server",
        "python - < x",
        "python ../x.py",
        "python /tmp/x.py",
        "curl https://example.org",
        "wget x",
        "env",
        "xargs rm",
        "eval rm x",
        "ssh host",
        "docker run x",
        "hyperfine ls",
        "ionice ls",
        "coverage run x.py",
        "tox -e py",
        "npx x",
        "perl -e 1",
        "awk 1 x",
        "sed -i s/a/b/ x",
        "tee x",
        "mv a b",
        "kill 1",
        "git push",
        "git -c a=b log",
        "git reset --hard",
        "git config x y",
        "git",
        "git log --output=x",
        "find . -delete",
        "go test -exec x",
        "npm run x -- --script-shell=y",
        "make SHELL=/tmp/x test",
        "pip install x",
        "mvn -Dexec.executable=x exec:exec",
        "gcc -o x y.c",
        "dig secret.example.org",
        "/tmp/x y",
        "../x y",
        "рytest",
        "PYTHONPATH=x pytest",
        "pytest > x",
        "pytest; rm x",
        "pytest $(rm x)",
        "pytest | sh",
        "cd .. && pytest",
        "cd && pytest",
        "$x y",
        "pytest '",
        "make test",  # The exact call says the same.
        "echo " + "; ".join(f"tool{number} x" for number in range(9)),
    ],
)
def test_commands_for_which_only_the_exact_call_is_offered(place: Place, text: str) -> None:
    found = named(command(text), place)
    assert "allow_always_pattern" not in found
    assert found["allow_always"].startswith("Always allow exactly `")
    assert found["reject_always"].startswith("Never allow `")


def test_only_what_is_not_allowed_yet_is_offered(place: Place) -> None:
    rules = [Rule("allow", COMMANDS, parse_command_pattern("pytest *"))]
    assert pattern("pytest && ruff check .", place, rules) == (
        "Always allow `ruff *` in this project"
    )


def test_a_long_command_is_cut_in_the_middle(place: Place) -> None:
    found = named(command("pytest " + "x" * 200 + " --end"), place)
    assert len(found["allow_always"]) == LONGEST_NAME
    assert found["allow_always"].startswith("Always allow exactly `pytest xxx")
    assert found["allow_always"].endswith("xxx --end`")
    assert found["allow_always_pattern"] == "Always allow `pytest *` in this project"


def test_what_cannot_be_seen_is_written_out(place: Place) -> None:
    name = named(command("ls\nrm\u202e x\x1b[2K"), place)["allow_always"]
    assert name == "Always allow exactly `ls\\nrm\\u202e x\\x1b[2K`"


@given(st.text(max_size=200))
@settings(deadline=None)
def test_cutting_keeps_both_ends(text: str) -> None:
    cut = cut_middle(text)
    assert len(cut) <= LONGEST_NAME
    assert cut == text or (text.startswith(cut[:39]) and text.endswith(cut[-39:]))


def check(found: Sequence[Offer], call: Call, rules: Sequence[Rule], place: Place) -> None:
    ids = [offer.choice.id for offer in found]
    assert len(set(ids)) == len(ids)
    assert ids[0] == "allow_once"
    for offer in found:
        assert offer.choice.kind == KINDS[offer.choice.id]
        assert offer.allowed == offer.choice.id.startswith("allow")
        assert bool(offer.rules) == ("always" in offer.choice.id)
        assert 0 < len(offer.choice.name) <= LONGEST_NAME
        assert offer.choice.name.isprintable()
        if offer.rules and offer.allowed:
            # What was said to be for good is not asked about again.
            assert isinstance(judge([*rules, *offer.rules], call, place), Permitted)
        for rule in offer.rules if offer.choice.id == "allow_always_pattern" else ():
            assert str(rule.target) in offer.choice.name


@given(compositions)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_offer_does_what_it_says(place: Place, composition: Composition) -> None:
    rules = [Rule("allow", COMMANDS, parse_command_pattern("pytest *"))]
    call = command(composition.text)
    if not isinstance(judge(rules, call, place), Permitted):
        check(offers(call, rules, place), call, rules, place)


@given(st.text(min_size=1, max_size=30))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_offer_for_any_text_does_what_it_says(place: Place, text: str) -> None:
    call = command(text)
    check(offers(call, (), place), call, (), place)
