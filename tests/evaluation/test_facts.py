"""An answer states a fact if the fact stands in it, and not only something like it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.evaluation.facts import stated, states_all
from punie.evaluation.suite import Check

RIGHT, SOFT, WRONG = Check.of(True), Check(strict=False, soft=True), Check.of(False)


@pytest.mark.parametrize(
    ("answer", "fact", "due"),
    [
        ("It is `MAX_STOPS`.", "MAX_STOPS", RIGHT),
        ("It is **MAX_STOPS**.", "MAX_STOPS", RIGHT),
        ("It is max_stops.", "MAX_STOPS", SOFT),
        ("It is MAX_STOPS_2.", "MAX_STOPS", WRONG),
        ("in a/b.py:7", "a/b.py", RIGHT),
        ("14 stops", "14", RIGHT),
        ("fourteen stops", "14", SOFT),
        ("114 stops", "14", WRONG),
        ("14.5 stops", "14", WRONG),
        ("3.14", "14", WRONG),
        ("4,419 parcels", "4419", SOFT),
        ("6.4 euros", "6.40", SOFT),
        ("6.45 euros", "6.40", WRONG),
        ("It is 7.", "7", RIGHT),
        ("exit  code\n1", "exit code 1", RIGHT),
        ("", "x", WRONG),
        ("No.", ("no", "No"), RIGHT),
        ("NO", ("no", "No"), SOFT),
    ],
)
def test_facts(answer: str, fact: str | tuple[str, ...], due: Check) -> None:
    assert stated(answer, fact) == due


def test_all_facts_have_to_be_stated_and_none_of_what_is_not_so() -> None:
    assert states_all("a and b", ["a", ["c", "b"]]) == RIGHT
    assert states_all("a and B", ["a", "b"]) == SOFT
    assert states_all("a", ["a", "b"]) == WRONG
    assert states_all("a and b", ["a"], unsaid=["b"]) == WRONG
    assert states_all("anything", []) == RIGHT
    assert states_all("", []) == WRONG


@given(st.text(max_size=80), st.text(max_size=12))
def test_what_is_strictly_right_is_softly_right(answer: str, fact: str) -> None:
    found = stated(answer, fact)
    assert found.soft or not found.strict


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_numbers_are_told_apart(one: int, other: int) -> None:
    for written in (str(one), f"{one:,}", f"**{one}**", f"{one}.0"):
        assert stated(f"It is {written}, I think", str(other)).soft == (one == other)
