"""Whatever a real bash runs or writes was found, or the line is opaque."""

import shutil
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from punie.agent.permissions.shell import read_command_line
from tests.agent.permissions.real_bash import explains, observe

pytestmark = pytest.mark.skipif(
    not Path("/bin/bash").exists(), reason="compares with /bin/bash, which is not here"
)

_PIECES = (
    "a", "b -x", 'c "a b"', "a $(b)", "b <(c)", "a >x", "a 2>&1", "(a; b)", "{ a; b; }",
    "if a; then b; fi", "for i in a b; do c $i; done", "a | b", "! a", "while a; do b; done",
    "eval 'a; b'", "a <<E\nx\nE\n", "a <<'E'\n$(b)\nE\n", "a # b\n", "a `b`", "X=1 a", "X=$(a)",
    'a "$(b "c")"', "a \\\n b", "time a", "exec a", "command a", "a ${x:-$(b)}", "a 'x\ny'",
    "[[ a == b ]]", "case a in a) b;; esac", "a <<<b", "a {b,c} {}", "a\\ b", "a $((1+2))",
)  # fmt: skip
_SEPARATORS = (";", "\n", " ", "&&", "||", "|", "&", " $(", " <(", "; ", "\\\n", "#", "\t")
_SCRAPS = (
    "", "(", ")", "{ ", "}", '"', "'", "`", "$", "$(", "<(", ">", ">>", "<", "<<E\n", "\nE\n",
    "\\", "#", "!", "if ", "then ", "fi", "do ", "done", "in", ";;", "=", "*", "~", "((", "))",
    "${", "1", "2", ">&", "&>", "<&", "$'", " ", "\n", "\\\n", "\\ ", "-", "?", "[a]", "+", "%",
    "\u00e9", "function ", "()", "a", "\t", "é",
)  # fmt: skip


@st.composite
def lines(draw: st.DrawFn) -> str:
    """Some pieces of shell, with a few scraps put in at random places."""
    pieces = draw(st.lists(st.sampled_from(_PIECES), min_size=1, max_size=3))
    text = draw(st.sampled_from(_SEPARATORS)).join(pieces)
    for _ in range(draw(st.integers(0, 2))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 2)))
        text = text[:start] + draw(st.sampled_from(_SCRAPS)) + text[end:]
    return text


def check(text: str) -> None:
    line = read_command_line(text)
    if line.opaque:
        return
    folder = Path(mkdtemp(prefix="punie-bash-"))
    try:
        seen = observe(text, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert all(explains(line, argv) for argv in seen.commands), (text, seen.commands)
    if all(word.known for word in line.writes):
        assert seen.files <= {word.text for word in line.writes}, text


@given(lines())
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
def test_made_up_lines(text: str) -> None:
    check(text)


@pytest.mark.parametrize(
    "text",
    [
        # Each of these is read differently by the grammar and by bash, and was found that way.
        "\\ b 1",
        "a&&-x2>&1&&b",
        "a $(b)|1X=1 a",
        "<& -x",
        ">& \\ 2",
        "<<< \\  }",
        "rm } \\\n }",
        "!'#a'",
        "!}a1",
        "{fd}>x a",
        "a >x b",
        "py\\\ntest x",
        "time { rm x; }",
        "a -x<<E\nx\nE\n",
        "a -x<<<b",
        "a \n\\||\n b",
        'a "$\\\n(b c)"',
        'a "x $b $(rm x)"',
    ],
)
def test_lines_that_were_once_misread(text: str) -> None:
    check(text)


def test_the_comparison_can_fail(tmp_path: Path) -> None:
    seen = observe("a x; b > y", tmp_path)
    assert seen.commands == [["a", "x"], ["b"]]
    assert seen.files == {"y"}
    assert not explains(read_command_line("a y"), ["a", "x"])
