"""Rules as text: what is read comes out again, and every fault has its line."""

import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from punie.agent.permissions.rules import (
    COMMANDS,
    EDITS,
    AnyCall,
    CommandPattern,
    ExactArguments,
    ExactCommand,
    PathPattern,
    Rule,
    RuleError,
    canonical_arguments,
    parse_command_pattern,
    parse_path_pattern,
)
from punie.agent.permissions.toml_rules import parse_rules, rule_table, with_rules_removed

TEXT = """\
# mine
[[rules]]
decision = "allow"  # tests
command = "pytest *"

# never
[[rules]]
decision = "deny"
line = '''
[[rules]]
x'''

[[rules]]
decision = "allow"
path = "src/**"

[[rules]]
decision = "deny"
tool = "idea_rename"
any = true

[[rules]]
decision = "allow"
tool = "idea_run"
arguments = '{"b": 1, "a": null}'

[[rules]]
decision = "allow"
unsandboxed = true
line = "docker ps"
"""
RULES = (
    Rule("allow", COMMANDS, CommandPattern(("pytest",), more=True)),
    Rule("deny", COMMANDS, ExactCommand("[[rules]]\nx")),
    Rule("allow", EDITS, PathPattern("src", folder=True)),
    Rule("deny", "idea_rename", AnyCall()),
    Rule("allow", "idea_run", ExactArguments('{"a": null, "b": 1}')),
    Rule("allow", COMMANDS, ExactCommand("docker ps"), unsandboxed=True),
)


def test_rules_are_read() -> None:
    assert parse_rules(TEXT) == RULES
    assert parse_rules("") == parse_rules("# nothing\n") == parse_rules("rules = []\n") == ()


HEAD = '# first\n[[rules]]\ndecision = "deny"\ncommand = "rm *"\n\n'


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("x", "line 6: expected '=' after a key in a key/value pair."),
        ('[[rules]]\ndecision = "allow', "line 7: "),
        ("[[rules]]", 'line 6: decision must be "allow" or "deny".'),
        ('[[rules]]\ncommand = "x"', 'line 6: decision must be "allow" or "deny".'),
        ('[[rules]]\ndecision = "Allow"\ncommand = "x"', "line 7: decision must be"),
        ('[[rules]]\ndecision = 1\ncommand = "x"', "line 7: decision must be"),
        ('[[rules]]\ndecision = "allow"', "line 6: a rule needs exactly one of command, line, "),
        ('[[rules]]\ndecision = "deny"\nline = "x"\npath = "x"', "line 6: a rule needs exactly"),
        ('[[rules]]\ndecision = "deny"\ncomand = "x"', "line 8: 'comand' is not known; a rule has"),
        ('[[rules]]\ndecision = "deny"\ncommand = 3', "line 8: command must be text in quotes."),
        ('[[rules]]\ndecision = "deny"\ncommand = " "', "line 8: command must be text in quotes."),
        ('[[rules]]\ndecision = "allow"\ncommand = "*"', "line 8: `*` is not one command; "),
        ('[[rules]]\ndecision = "allow"\ncommand = "a; b"', "line 8: `a; b` is not one command; "),
        ('[[rules]]\ndecision = "allow"\ncommand = "sudo *"', "line 8: `sudo *` does not name the"),
        ('[[rules]]\ndecision = "deny"\npath = "*.lock"', "line 8: `*.lock` is no path; name a "),
        ('[[rules]]\ndecision = "deny"\npath = "src/"', "line 8: `src/` is a folder; write "),
        ('[[rules]]\ndecision = "allow"\npath = "../x"', "line 8: `../x` is not relative to the"),
        ('[[rules]]\ndecision = "allow"\npath = "/**"', "line 8: `/**` is every file there is."),
        ('[[rules]]\ndecision = "deny"\nany = true', "line 8: any needs the name of a tool in "),
        ('[[rules]]\ndecision = "deny"\ntool = "x"\nany = false', "line 9: any can only be true."),
        ('[[rules]]\ndecision = "deny"\ntool = 1\nany = true', "line 9: any needs the name of a "),
        (
            '[[rules]]\ndecision = "allow"\ntool = "run_command"\nany = true',
            "line 9: every call of run_command is too much to allow; choose mode auto.",
        ),
        (
            '[[rules]]\ndecision = "allow"\ntool = "x"\narguments = "1"',
            'line 9: arguments must be a JSON object such as {"path": "a.py"}.',
        ),
        ("[other]\nx = 1", "line 6: 'other' is not known; there are only [[rules]]."),
        ("a" * 3 + " = " + "[" * 5_000, "line "),
    ],
)
def test_a_fault_is_told_with_its_line(text: str, fault: str) -> None:
    with pytest.raises(RuleError) as raised:
        parse_rules(HEAD + text)
    assert str(raised.value).startswith(fault)
    assert str(raised.value).count("\n") == 0


@pytest.mark.parametrize("text", ["rules = 1", "rules = [1]", "rules = {}"])
def test_rules_are_tables(text: str) -> None:
    with pytest.raises(RuleError, match=r"line 1: rules are written as \[\[rules\]\]\."):
        parse_rules(text)


def test_a_projects_own_file_may_only_deny() -> None:
    assert len(parse_rules(HEAD, deny_only=True)) == 1
    with pytest.raises(RuleError, match="line 3: a project's own file may only deny"):
        parse_rules(TEXT, deny_only=True)


@pytest.mark.parametrize(
    ("text", "words", "more"),
    [
        ("pytest *", ("pytest",), True),
        ("git status", ("git", "status"), False),
        ("  git   commit  -m 'a b'  * ", ("git", "commit", "-m", "a b"), True),
        ("sudo apt *", ("sudo", "apt"), True),
    ],
)
def test_command_patterns(text: str, words: tuple[str, ...], more: bool) -> None:
    found = parse_command_pattern(text)
    assert found == CommandPattern(words, more)
    assert parse_command_pattern(str(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        " *",
        "* *",
        "a * b",
        "a; b",
        "a && b",
        "a|b",
        "a $x",
        "a `b`",
        "a > b",
        "a '",
        "a\nb",
    ],
)
def test_texts_that_are_no_command_pattern(text: str) -> None:
    with pytest.raises(RuleError):
        parse_command_pattern(text)


@pytest.mark.parametrize("text", ["a.py", "src/a b.py", "app/[id]/x.tsx", "src/**", "**", "/x/y"])
def test_path_patterns_come_out_as_they_went_in(text: str) -> None:
    assert str(parse_path_pattern(text)) == text


def test_a_path_may_begin_with_a_dot() -> None:
    assert parse_path_pattern("./src/**") == PathPattern("src", folder=True)


words = st.lists(st.text(st.characters(exclude_characters="\0\n*$`"), min_size=1), min_size=1)


@given(words, st.booleans())
@settings(deadline=None)
def test_every_pattern_can_be_written_and_read(argv: list[str], more: bool) -> None:
    pattern = CommandPattern(tuple(argv), more)
    try:
        read = parse_command_pattern(str(pattern))
    except RuleError:
        return  # A word that reads as an operator of the shell.
    assert read == pattern


json_values: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
paths = st.from_regex(r"[a-z][a-z0-9 \[\]/.-]{0,8}[a-z]", fullmatch=True)
targets = (
    st.builds(ExactCommand, st.text(st.characters(exclude_characters="\0"), min_size=1))
    | st.builds(
        PathPattern,
        st.from_regex(r"[a-z][a-z0-9 \[\]/.-]{0,8}[a-z]", fullmatch=True),
        st.booleans(),
    )
    | st.builds(
        lambda value: ExactArguments(canonical_arguments(value)),
        st.dictionaries(st.text(max_size=3), json_values, max_size=3),
    )
)


@given(st.lists(st.tuples(st.sampled_from(("allow", "deny")), targets, st.booleans()), max_size=4))
@settings(deadline=None)
def test_written_rules_are_read_back(pairs: list[tuple[str, object, bool]]) -> None:
    rules = []
    for decision, target, wide in pairs:
        tool = {ExactCommand: COMMANDS, PathPattern: EDITS}.get(type(target), "a_tool")
        if isinstance(target, ExactCommand) and not target.line.strip():
            continue
        if isinstance(target, PathPattern) and ".." in target.path.split("/"):
            continue
        outside = wide and decision == "allow" and tool == COMMANDS
        rules.append(Rule(decision, tool, target, outside))  # type: ignore[arg-type]
    document = tomlkit.document()
    document["rules"] = [rule_table(rule) for rule in rules]
    text = document.as_string()
    if any("\r" in str(rule.target) for rule in rules):
        return  # Line ends of a text file are not told apart.
    assert parse_rules(text) == tuple(rules)


@pytest.mark.parametrize("gone", [{0}, {1}, {4}, {0, 1}, {1, 2, 3}, {0, 1, 2, 3, 4}])
def test_removing_rules_keeps_the_comments(gone: set[int]) -> None:
    document = tomlkit.parse(TEXT)
    with_rules_removed(document, gone)
    text = document.as_string()
    assert parse_rules(text) == tuple(
        rule for number, rule in enumerate(RULES) if number not in gone
    )
    assert text.startswith("# mine\n")
    assert "# never\n" in text
    assert ("# tests" in text) == (0 not in gone)
