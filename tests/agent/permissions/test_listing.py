"""What /permissions answers."""

from pathlib import Path

import pytest

from punie.agent.permissions.listing import answer_permissions
from punie.agent.permissions.rules import (
    COMMANDS,
    EDITS,
    ExactCommand,
    PathPattern,
    Rule,
    parse_command_pattern,
)
from punie.agent.permissions.store import Permissions


@pytest.fixture
def store(tmp_path: Path) -> Permissions:
    (tmp_path / "project" / ".punie").mkdir(parents=True)
    return Permissions(tmp_path / "config", tmp_path / "project")


def test_rules_are_listed_with_their_numbers(store: Permissions) -> None:
    assert "There are no rules for this project" in answer_permissions(store, "")
    store.add(
        [
            Rule("allow", COMMANDS, parse_command_pattern("pytest *")),
            Rule("allow", COMMANDS, ExactCommand("a\nb")),
            Rule("deny", EDITS, PathPattern("src", folder=True)),
        ]
    )
    store.project_path.write_text('[[rules]]\ndecision = "deny"\ncommand = "git push *"\n')
    answer = answer_permissions(store, " ")
    assert (
        "1. always allow `pytest *`\n"
        "2. always allow exactly `a\\nb`\n"
        "3. never allow edits in `src/**`\n"
    ) in answer
    assert "- never allow `git push *`" in answer
    assert str(store.path) in answer


def test_rules_are_revoked_by_number(store: Permissions) -> None:
    rules = [Rule("allow", COMMANDS, parse_command_pattern(f"{name} *")) for name in "abc"]
    store.add(rules)
    answer = answer_permissions(store, "revoke 1 3")
    assert answer == "Revoked: always allow `a *`.\nRevoked: always allow `c *`."
    assert store.read().own == (rules[1],)
    assert answer_permissions(store, "revoke 7") == "There is no rule 7; there are 1 to 1."
    assert store.read().own == (rules[1],)


@pytest.mark.parametrize("arguments", ["revoke", "revoke x", "remove 1", "1", "revoke -1"])
def test_other_words_are_answered_with_the_usage(store: Permissions, arguments: str) -> None:
    assert answer_permissions(store, arguments).startswith("`/permissions` lists the rules")


def test_a_broken_file_is_told(store: Permissions) -> None:
    store.project_path.write_text("x")
    assert answer_permissions(store, "").startswith(f"{store.project_path}, line 1: ")
