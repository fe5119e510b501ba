"""Reading what ruff and ty print."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.tools.base import ToolError
from punie.tools.python.problems import Problem, read_ruff, read_ty

ROOT = Path("/project")

_words = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), min_size=1).map(
    lambda text: f"x{text}x"
)
_problems = st.lists(
    st.builds(
        Problem,
        path=st.sampled_from(["a.py", "pkg/b.py", "ä/ö.pyi"]).map(lambda name: ROOT / name),
        line=st.integers(1, 10**6),
        column=st.integers(1, 10**4),
        rule=st.sampled_from(["F821", "invalid-syntax"]),
        message=st.sampled_from(["Undefined name `x`", "ä: b", "F821: c"]),
        severity=st.sampled_from(["error", "warning", "info"]),
        fixable=st.booleans(),
    )
)
_SEVERITIES = {"error": "major", "warning": "minor", "info": "info"}
_junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["code", "location", "filename", "fix"]), inner)
    ),
    max_leaves=10,
)


def _ruff(problem: Problem) -> dict[str, Any]:
    return {
        "cell": None,
        "code": problem.rule,
        "filename": str(problem.path),
        "fix": {"applicability": "safe" if problem.fixable else "unsafe", "edits": []},
        "location": {"row": problem.line, "column": problem.column},
        "message": problem.message,
    }


def _ty(problem: Problem) -> dict[str, Any]:
    return {
        "check_name": problem.rule,
        "description": f"{problem.rule}: {problem.message}",
        "severity": _SEVERITIES[problem.severity],
        "fingerprint": "0",
        "location": {
            "path": str(problem.path.relative_to(ROOT)),
            "positions": {"begin": {"line": problem.line, "column": problem.column}},
        },
    }


@given(_problems)
def test_what_is_reported_is_read(problems: list[Problem]) -> None:
    from_ruff = read_ruff(json.dumps([_ruff(each) for each in problems]), ROOT)
    assert [(p.path, p.line, p.column, p.rule, p.message, p.fixable) for p in from_ruff] == [
        (p.path, p.line, p.column, p.rule, p.message, p.fixable) for p in problems
    ]
    from_ty = read_ty(json.dumps([_ty(each) for each in problems]), ROOT)
    assert [(p.path, p.line, p.column, p.rule, p.message, p.severity) for p in from_ty] == [
        (p.path, p.line, p.column, p.rule, p.message, p.severity) for p in problems
    ]


@given(_words)
def test_a_message_is_one_line(message: str) -> None:
    long = f"{message}\n  more of it\n" * 3
    problem = Problem(ROOT / "a.py", 1, 1, "r", long)
    for read in (
        read_ruff(json.dumps([_ruff(problem)]), ROOT),
        read_ty(json.dumps([_ty(problem)]), ROOT),
    ):
        assert "\n" not in read[0].message
        assert len(read[0].message) <= 300


@given(st.text() | _junk.map(json.dumps) | st.lists(_junk, min_size=1).map(json.dumps))
def test_anything_else_is_told(printed: str) -> None:
    for read in (read_ruff, read_ty):
        with contextlib.suppress(ToolError):
            assert read(printed, ROOT) == []


def test_a_file_that_cannot_be_read_has_no_line() -> None:
    said = [{"filename": "/project/a.py", "location": None, "code": "io", "message": "m"}]
    assert read_ruff(json.dumps([{**said[0], "fix": None}]), ROOT)[0].line == 0
    with pytest.raises(ToolError):
        read_ruff(json.dumps([{}]), ROOT)
