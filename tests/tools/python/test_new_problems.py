"""Which problems an edit has brought."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from punie.tools.python.new_problems import in_new_lines, most_telling, new_problems
from punie.tools.python.problems import Problem

FILE = Path("/project/a.py")
_lines = st.lists(st.sampled_from(["", "a", "b", "c = 1"]), min_size=1, max_size=12)


def problem(line: int, message: str = "Undefined name `x`", rule: str = "F821") -> Problem:
    return Problem(FILE, line, 1, rule, message)


@st.composite
def _edits(draw: st.DrawFn) -> tuple[str, str, list[Problem], list[Problem]]:
    """Return a text, the text with lines put into it, and the same problems in both."""
    lines = draw(_lines)
    at = draw(st.integers(0, len(lines)))
    added = draw(_lines)
    messages = st.sampled_from(["Undefined name `x`", "Undefined name `y`"])
    before = [problem(line, draw(messages)) for line in draw(st.sets(st.integers(1, len(lines))))]
    after = [
        problem(each.line + (len(added) if each.line > at else 0), each.message) for each in before
    ]
    new = [*lines[:at], *added, *lines[at:]]
    return "\n".join(lines), "\n".join(new), before, after


@given(_edits())
def test_what_only_moved_is_not_new(edit: tuple[str, str, list[Problem], list[Problem]]) -> None:
    old, new, before, after = edit
    assert new_problems(old, new, before, after) == []
    assert new_problems(new, old, after, before) == []


@given(_edits(), st.integers(1, 12))
def test_what_is_new_is_found(
    edit: tuple[str, str, list[Problem], list[Problem]], line: int
) -> None:
    old, new, before, after = edit
    brought = problem(line, "Undefined name `z`")
    assert new_problems(old, new, before, [*after, brought]) == [brought]
    assert new_problems(old, new, [], after) == after
    assert new_problems(old, new, before, []) == []


def test_of_several_alike_the_right_one_is_named() -> None:
    old, new = "a\nx\nb\nx\nc", "a\nx\nx\nb\nx\nc"
    before = [problem(2), problem(4)]
    after = [problem(2), problem(3), problem(5)]
    found = new_problems(old, new, before, after)
    assert len(found) == 1
    assert found[0].line in (2, 3)
    assert new_problems("x\nb\nc", "x\nb\nc\nx", [problem(1)], [problem(1), problem(4)]) == [
        problem(4)
    ]


def test_places_and_sizes_in_messages_do_not_count() -> None:
    for before, after in (
        ("Redefinition of unused `f` from line 3", "Redefinition of unused `f` from line 13"),
        ("Line too long (101 > 100)", "Line too long (102 > 100)"),
    ):
        assert new_problems("a", "b", [problem(1, before)], [problem(1, after)]) == []


def test_without_knowing_what_was_wrong_before_new_lines_count() -> None:
    old, new = "a\nx\nb", "a\n  x\ny\nb"
    after = [problem(0), problem(2), problem(3), problem(9)]
    assert in_new_lines(old, new, after) == [problem(3)]


def test_each_is_said_once_and_what_cannot_be_parsed_alone() -> None:
    ruff, ty = problem(2), problem(2, "Name `x` used when not defined", "unresolved-reference")
    other = problem(1, "Name `y` used when not defined", "unresolved-reference")
    assert most_telling([ruff, ty, other]) == [other, ruff]
    broken = problem(3, "Expected an expression", "invalid-syntax")
    assert most_telling([ruff, ty, broken, broken]) == [broken]
