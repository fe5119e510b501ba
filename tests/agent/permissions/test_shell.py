"""What a command line runs, as it is read."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie.agent.permissions.shell import CommandLine, read_command_line
from tests.agent.permissions.compositions import (
    Composition,
    compositions,
    noise,
    usual_compositions,
)


def argvs(line: CommandLine) -> list[str]:
    return [" ".join(word.text for word in command.words) for command in line.each()]


def clear(text: str) -> CommandLine:
    line = read_command_line(text)
    assert line.opaque == ()
    return line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pytest -q tests/x.py", ["pytest -q tests/x.py"]),
        ("a && b; c | d & e", ["a", "b", "c", "d", "e"]),
        ("a\nb", ["a", "b"]),
        ("(a; b) && { c; }", ["a", "b", "c"]),
        ("if a; then b; elif c; then d; else e; fi", ["a", "b", "c", "d", "e"]),
        ("while a; do b; done < x", ["a", "b"]),
        ("for f in *.py; do ruff check $f; done", ["ruff check $f"]),
        ("! a || b |& c", ["a", "b", "c"]),
        ('a "$(b "c d")"', ["b c d", 'a "$(b "c d")"']),
        ("a <(b) > >(c)", ["b", "a <(b)", "c"]),
        ("r'm' x", ["rm x"]),
        ("\\rm x", ["rm x"]),
        ('"rm" x', ["rm x"]),
        ('a "x\\"y" \'z w\'', ['a x"y z w']),
        ("a \\\n  b", ["a b"]),
        ("a # b; c", ["a"]),
        ("cat <<'EOF'\n$(rm x)\nEOF\nls", ["cat", "ls"]),
        ("cat <<EOF\nplain; text\nEOF", ["cat"]),
        ("cat <<-EOF\n\tplain\n\tEOF\nls", ["cat", "ls"]),
        ("cat <<< word", ["cat"]),
        ("a 2>&1 >/dev/null </dev/null", ["a"]),
    ],
)
def test_commands_are_found(text: str, expected: list[str]) -> None:
    line = clear(text)
    assert argvs(line) == expected
    assert line.writes == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("env pytest", ["env pytest", "pytest"]),
        ("timeout -k 5 10s nice -n 5 rm x", ["rm x"]),
        ("sudo -u me rm x", ["rm x"]),
        ("doas rm x", ["rm x"]),
        ("ls | xargs -n1 -0 rm -f", ["rm -f"]),
        ("xargs -I{} mv {} x", ["mv {} x"]),
        ("nohup setsid stdbuf -oL command exec rm x", ["rm x"]),
        ("sh -c 'rm x; ls'", ["rm x", "ls"]),
        ("bash -lc 'rm x' name", ["rm x"]),
        ("sh -c \"sh -c 'rm x'\"", ["rm x"]),
        ("eval rm x", ["rm x"]),
        ("find . -name x -exec rm {} +", ["rm {}"]),
        ("find . -exec a \\; -exec b {} \\;", ["a", "b {}"]),
        ("uv run --frozen rm x", ["rm x"]),
        ("poetry run rm x", ["rm x"]),
        ("time -p rm x", ["rm x"]),
    ],
)
def test_wrappers_are_opened(text: str, expected: list[str]) -> None:
    found = argvs(clear(text))
    assert set(expected) <= set(found)


@pytest.mark.parametrize("text", ["python -m pytest", "command -v rm", "sh run.sh", "env"])
def test_what_is_no_wrapper_stays(text: str) -> None:
    assert argvs(clear(text)) == [text]


@pytest.mark.parametrize(
    ("text", "writes"),
    [
        ("echo x > out", ["out"]),
        ("> out", ["out"]),
        ("a >> 'two words'", ["two words"]),
        ("a >| x; b &> y; c 2> z", ["x", "y", "z"]),
        ("exec 3> x", ["x"]),
        ("(a) > x", ["x"]),
        ("for f in a; do b; done > x", ["x"]),
        ("sh -c 'a > x'", ["x"]),
        ("cat > x <<'EOF'\ny\nEOF", ["x"]),
        ("a > $HOME/x", ["$HOME/x"]),
    ],
)
def test_writing_redirections_are_found(text: str, writes: list[str]) -> None:
    assert [word.text for word in read_command_line(text).writes] == writes


@pytest.mark.parametrize(
    "text",
    [
        "$CMD x",
        "$(echo rm) x",
        "`echo rm` x",
        "a `rm x`",
        "~/bin/x",
        "/bin/r? x",
        "{rm,-rf,x}",
        "a '",
        "a && ",
        "a $'\\x72m'",
        'a $"x"',
        "X=1",
        "PATH=/tmp/evil; pytest",
        "for PATH in /tmp/evil; do pytest; done",
        "for http_proxy in x; do a; done",
        "select x in a; do b; done",
        "export A=1",
        "unset A",
        "declare -x A=1",
        "read PATH < file",
        "alias pytest=rm",
        "source x.sh",
        ". x.sh",
        "trap 'rm x' EXIT",
        "hash -p /tmp/evil pytest",
        "enable -f x y",
        "printf -v PATH /tmp/evil",
        "test -v 'a[$(rm x)]'",
        "[ $x ]",
        "[[ 'a[$(rm x)]' -eq 0 ]]",
        "(( PATH = 1 ))",
        "echo $(( a[$(rm x)] ))",
        "echo $((x))",
        "echo $[1]",
        "echo ${x@P}",
        "echo ${!x}",
        "echo ${a[$x]}",
        "echo ${PATH:=/tmp/evil}",
        "echo ${x:$y}",
        "f() { a; }; f",
        ":(){ :|:& };:",
        "case a in a) b;; esac",
        "coproc a",
        "time { a; }",
        "a {fd}> x",
        "a > x y",
        "a <> x",
        "a > /dev/tcp/host/80",
        "a < $x",
        "cat <<EOF\n$(rm x)\nEOF",
        "cat <<EOF\n`rm x`\nEOF",
        "cat <<A <<B\nA\nB",
        "cat <<EOF\nEOF \nrm x\nEOF",
        "ls\ncat <<EOF",
        "env -S 'rm x'",
        "env -C / a",
        "sudo -i",
        "sudo -Z a",
        'sh -c "$x"',
        "sh -i -c a",
        "zsh -c a",
        'eval "$x"',
        "a {PATH}>x",
        "xargs -I{} sh -c '{}'",
        "xargs",
        "xargs env",
        "xargs find .",
        "timeout a b",
        "timeout --unknown 5 a",
        "nice -x a",
        "exec -a name a",
        "uv run --with evil pytest",
        "py\\\ntest",
        "a\u00a0b",
        "a \u202e b",
        "a\rb",
        "\\ a",
        "a" * 8_001,
        "(" * 200 + "a" + ")" * 200,
        "\ud800",
    ],
)
def test_what_is_not_understood_is_opaque(text: str) -> None:
    assert read_command_line(text).opaque


@pytest.mark.parametrize(
    "text",
    ["A=1 pytest", "env A=1 pytest", "env -u A pytest", "env -i pytest", "A=1 sh -c 'pytest'"],
)
def test_a_changed_environment_is_noted(text: str) -> None:
    (pytest_command,) = [
        command for command in clear(text).each() if command.words[0].text == "pytest"
    ]
    assert pytest_command.altered


def test_arguments_from_elsewhere_are_noted() -> None:
    *_, command = clear("ls | xargs rm").each()
    assert command.open_ended


@pytest.mark.parametrize(
    "text",
    ["({\U0010ffff2 ]].\U0010ffff'#~[@=~", "}\U0010ffff@(for ((\u202e]%-", "\U0001f600=(" * 9],
)
def test_characters_beyond_ascii_do_not_reach_the_scanner(text: str) -> None:
    read_command_line(text)


def test_letters_beyond_ascii_are_letters() -> None:
    assert argvs(clear("größer 'ä ö'; cat é.py")) == ["größer ä ö", "cat é.py"]
    assert read_command_line("é=1 cat").opaque


def test_commands_in_opaque_code_are_still_found() -> None:
    for text in ("f() { rm x; }", "a `rm x`", "case a in b) rm x;; esac", "X=$(rm x)"):
        assert "rm x" in argvs(read_command_line(text))


@pytest.mark.parametrize(
    ("word", "option"),
    [("-x", True), ("x", False), ("*", True), ("src/*", False), ("$x", True), ('"a$x"', False)],
)
def test_words_that_may_be_options(word: str, option: bool) -> None:
    assert clear(f"a {word}").commands[0].words[1].option is option


@given(noise | st.text(max_size=60))
@settings(deadline=None)
def test_any_text_can_be_read(text: str) -> None:
    read_command_line(text)


@given(compositions)
@settings(deadline=None)
def test_every_command_of_a_composition_is_found(composition: Composition) -> None:
    line = read_command_line(composition.text)
    found = [tuple(word.text for word in command.words) for command in line.each()]
    writes = [word.text for word in line.writes]
    missing = [command for command in composition.commands if command not in found]
    unseen = [name for name in composition.writes if name not in writes]
    assert line.opaque or not (missing or unseen), (composition.text, found, writes)


@given(usual_compositions)
@settings(deadline=None)
def test_usual_compositions_are_understood(composition: Composition) -> None:
    assert not read_command_line(composition.text).opaque
