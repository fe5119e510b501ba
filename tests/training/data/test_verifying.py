import pytest

from punie.training.data.verifying import Due, facts, tells


@pytest.mark.parametrize(
    ("due", "said", "right"),
    [
        ("`a/b.py` has 12 lines.", "There are 12 lines in a/b.py.", True),
        ("`a/b.py` has 12 lines.", "There are 112 lines in a/b.py.", False),
        ("`a/b.py` has 12 lines.", "There are 12.5 lines in a/b.py.", False),
        ("`a/b.py` has 12 lines.", "There are 12 lines in a/b.pyi.", False),
        ("`a/b.py` has 12 lines.", "There are 12 lines.", False),
        ("I found `f` in `x.py` line 3 and `y.py` line 4.", "f: x.py:3, y.py:4", True),
        ("It printed: all is well", "The output is all is\nwell.", True),
        ("It printed: all is well", "All went well.", False),
        ("It failed with exit code 1: no such file", "exit code 1 (no such file)", True),
        ("`RATE` is 0.35 in `c.py`.", "RATE in c.py is 0.35", True),
        ("`RATE` is 0.35 in `c.py`.", "RATE in c.py is 0.3", False),
        ("You did not allow it.", "Fine.", True),
    ],
)
def test_an_answer_tells_all_names_numbers_and_outputs(due: str, said: str, right: bool) -> None:
    assert tells(said, Due({}, due, calls=1)) is right


def test_an_answer_without_tools_is_free_but_not_empty() -> None:
    assert tells("Good day!", Due({}, "Hello! Ask me 3 things in `x`.", calls=0))
    assert not tells("", Due({}, "Hello!", calls=0))


def test_facts_are_names_in_backticks_numbers_and_outputs() -> None:
    assert facts("`x.py` now has `a = 1` and 2 more") == ["x.py", "a = 1", "2"]
    assert facts("It printed: done 7") == ["7", "done 7"]
