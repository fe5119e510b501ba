"""Patterns against what they should match, and against libcst's matchers."""

import libcst
import pytest
from hypothesis import given
from hypothesis import strategies as st
from libcst import matchers as m

from punie.tools.python.patterns import PatternError, matches, read_pattern


def lines(pattern: str, text: str) -> list[int]:
    return [match.line for match in matches(read_pattern(pattern), text)]


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("$X.get($Y)", "a.b().get( # c\n 1)", "a.get(1, 2); a.get(); get(1); a.get(key=1)"),
        ("f($X, $X)", "f(a.b, a . b)", "f(a, b)"),
        ("f($_, $_)", "f(a, b)", "f(a)"),
        ("$X == $X", "a[0] == a[ 0 ]", "a == b"),
        ("f(...)", "f(); ", "g()"),
        ("f(..., 2, ...)", "f(1, 2, 3, k=4)", "f(1, 3)"),
        ("open($P, encoding=$E)", "open(p, encoding='u')", "open(p); open(p, 'r', encoding='u')"),
        ("open(..., mode=$M)", "open(p, x=1, mode='r')", "open(p, 'r')"),
        ("f(a=1, b=2)", "f(b=2, a=1)", "f(a=1)"),
        ("$X = None", "y = None", "y = 0"),
        ("$X.$A", "a.b", "a"),
        ("$X.append(...)", "self.a.append(1)", "a.extend(1)"),
        ("def $F(...): ...", "@d\nasync def g(a, *, b=1) -> int:\n    'doc'\n    return 1", "g(1)"),
        ("def $F(self): return $X", "def f(self): return 1", "def f(self, x): return 1"),
        ("class $C: ...", "class A(B, metaclass=M):\n    x = 1", "A()"),
        ("class $C(Base): ...", "class A(Base): pass", "class A: pass"),
        ("for $I in range(len($X)):", "for i in range(len(a)):\n    print(i)", "for i in a: pass"),
        ("if $X: return $X", "def f():\n    if a: return a", "def f():\n    if a: return b"),
        ("try: ...\nexcept $E: pass", "try:\n    a\n    b\nexcept E: pass", "try: a\nfinally: b"),
        ("$X = $Y\nreturn $X", "def f():\n    b\n    a = 1\n    return a", "def f():\n    a = 1"),
        ("a()\n...\nb()", "a()\nc()\nd()\nb()", "b()\na()"),
        ("from typing import List", "from typing import List", "from typing import Dict"),
        ("f'{$X}'", "f'{a + b}'", "f'{a} '"),
        ("1", "x = 1", "x = True; y = 1.0; z = '1'"),
    ],
)
def test_what_matches_and_what_does_not(pattern: str, yes: str, no: str) -> None:
    assert lines(pattern, yes)
    assert not lines(pattern, no)


def test_where_and_with_what() -> None:
    text = "x = 1\n\n@d\ndef f(a):\n    return g(\n        a, 2)\n"
    (match,) = matches(read_pattern("g($A, $B)"), text)
    assert (match.line, match.end_line, match.bindings) == (5, 6, {"A": "a", "B": "2"})
    (match,) = matches(read_pattern("def $F($P): ..."), text)
    assert (match.line, match.end_line, match.bindings) == (3, 6, {"F": "f", "P": "a"})


@pytest.mark.parametrize(
    "pattern", ["", "$X", "...", "f(", "$_", "if $X", "$X\n...", "except E: pass"]
)
def test_what_is_no_pattern_is_told_in_a_sentence(pattern: str) -> None:
    with pytest.raises(PatternError) as error:
        read_pattern(pattern)
    assert "\n" not in str(error.value)


def test_words_are_in_all_that_matches() -> None:
    assert read_pattern("$X.getattr(name=$Y)").words == ("getattr", "name")
    assert read_pattern("$X.$Y($Z)").words == ()
    assert read_pattern("from a.b import $C").words == ("a", "b")


NAMES = st.sampled_from(["a", "b", "get", "f"])
EXPRESSIONS = st.recursive(
    NAMES,
    lambda inner: st.one_of(
        st.tuples(inner, NAMES).map(lambda t: f"{t[0]}.{t[1]}"),
        st.tuples(inner, st.lists(inner, max_size=3)).map(lambda t: f"{t[0]}({', '.join(t[1])})"),
        st.tuples(inner, inner).map(lambda t: f"({t[0]} + {t[1]})"),
    ),
    max_leaves=12,
)


@given(st.lists(EXPRESSIONS, min_size=1, max_size=6))
def test_the_same_as_with_the_matchers_of_libcst(expressions: list[str]) -> None:
    text = "\n".join(expressions) + "\n"
    matcher = m.Call(
        func=m.Attribute(attr=m.Name("get")), args=[m.Arg(value=m.DoNotCare()), m.ZeroOrMore()]
    )
    expected = m.findall(libcst.parse_module(text), matcher)
    assert len(lines("$X.get($Y, ...)", text)) == len(expected)


@given(EXPRESSIONS)
def test_code_matches_itself_wherever_it_stands(expression: str) -> None:
    text = f"def g():\n    return [1, ({expression})]\n"
    assert 2 in lines(expression, text)
