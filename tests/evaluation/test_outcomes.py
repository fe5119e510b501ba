"""What counts as right, strictly and softly, and what the rates rest on."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from punie.evaluation.outcomes import Due, names_facts, rates, summarise, verdict
from punie.evaluation.results import Result
from punie.evaluation.suite import Check
from punie.evaluation.work import Executed, Work
from punie.training.data.example import Function, Message

READ = Function(name="read_file", arguments={"path": "a.py"})


def work(*calls: Function, answer: str = "done", files: Mapping[str, bytes] | None = None) -> Work:
    said = [
        Message.model_validate({"role": "assistant", "tool_calls": [{"function": c}]})
        for c in calls
    ]
    messages = (Message(role="user", content="read a.py"), *said)
    messages = (*messages, Message(role="assistant", content=answer))
    executed = tuple(Executed(call, "x", ran=True, failed=False) for call in calls)
    return Work(messages, files or {}, "end_turn", executed)


def judged(done: Work, *due: Function, answer: str = "done") -> Result:
    return result_of(done, Due(due, answer, {}))


def result_of(
    done: Work, due: Due, kind: str = "read", steps: int = 1, item: str = "0", attempt: int = 0
) -> Result:
    found = verdict(steps, due, done)
    return Result(
        suite="tasks", item=item, kind=kind, attempt=attempt, verdict=found, stop="end_turn"
    )


def strict(result: Result, *names: str) -> tuple[bool, ...]:
    return tuple(result.check(name).strict for name in names)


def soft(result: Result, *names: str) -> tuple[bool, ...]:
    return tuple(result.check(name).soft for name in names)


def test_a_call_and_answer_like_the_teachers_are_right() -> None:
    call = Function(name="read_file", arguments={"path": "a.py", "start_line": None})
    outcome = judged(work(call), READ)
    assert strict(outcome, "tool", "arguments", "solved") == (True, True, True)
    assert soft(outcome, "tool", "arguments", "solved") == (True, True, True)


def test_words_without_a_call_are_worth_nothing_where_one_is_due() -> None:
    memorised = judged(work(), READ)
    assert strict(memorised, "solved") == soft(memorised, "solved") == (False,)
    assert memorised.verdict.note == "No call ran, and one is due."
    denied = replace(work(READ), executed=(Executed(READ, "denied", ran=False, failed=False),))
    assert soft(judged(denied, READ), "solved") == (False,)
    assert strict(judged(work()), "solved") == (True,)


def test_wrong_arguments_tool_answer_or_files_each_count() -> None:
    other_path = Function(name="read_file", arguments={"path": "b.py"})
    wrong = judged(work(other_path), READ)
    assert strict(wrong, "tool", "arguments") == (True, False)
    assert not wrong.check("arguments").soft
    wrong = judged(work(Function(name="list_dir", arguments={"path": "a.py"})), READ)
    assert strict(wrong, "tool", "arguments") == (False, False)
    assert not wrong.check("tool").soft
    said = judged(work(READ, answer="gone"), READ)
    assert (said.solved.strict, said.verdict.note) == (
        False,
        "The answer says what is due in other words.",
    )
    left = judged(work(READ, files={"x": b""}), READ)
    assert left.solved == Check.of(False)
    assert left.verdict.note == "The files are not as due."


def test_softly_a_detour_and_another_way_to_say_it_are_right() -> None:
    look = Function(name="list_dir", arguments={"path": "."})
    meant = Function(name="read_file", arguments={"path": "./a.py", "start_line": None})
    outcome = judged(work(look, meant, answer="It is done"), READ)
    assert strict(outcome, "tool", "arguments", "solved") == (False, False, False)
    assert outcome.verdict.note == "The answer says what is due in other words."
    assert soft(outcome, "tool", "arguments", "solved") == (True, True, True)


def test_no_call_is_right_only_where_none_was_due() -> None:
    assert not judged(work(), READ).check("tool").strict
    rightly_none = judged(work())
    assert strict(rightly_none, "tool", "solved") == (True, True)
    assert "arguments" not in rightly_none.verdict.checks
    assert judged(work(READ)).check("tool") == Check.of(False)


def test_where_tests_decide_another_change_is_softly_right() -> None:
    changed = {"a.py": b"x = 1 + 1", "test_a.py": b"assert x"}
    due = Due((READ,), "done", {"a.py": b"x = 2", "test_a.py": b"assert x"})
    for tests, files, right in (
        (True, changed, True),
        (False, changed, False),
        (True, changed | {"test_a.py": b""}, False),
        (None, changed, False),
    ):
        done = replace(work(READ, files=files), tests=tests)
        outcome = result_of(done, due, steps=2)
        assert outcome.solved == outcome.check("two_steps") == Check(strict=False, soft=right)
        assert outcome.verdict.note


def test_how_long_a_program_took_does_not_count() -> None:
    done = work(READ, answer="It printed: 3 passed in 0.64s")
    assert judged(done, READ, answer="It printed: 3 passed in 0.59s").solved.strict
    assert not judged(done, READ, answer="It printed: 2 passed in 0.64s").solved.strict


@pytest.mark.parametrize(
    ("answer", "due", "right"),
    [
        ("The file `a.py` has 12 lines.", "`a.py` has 12 lines.", True),
        ("a.py: 12 lines", "`a.py` has 12 lines.", True),
        ("a.py: 120 lines", "`a.py` has 13 lines.", False),
        ("`x` is not there.", "I found no `x`.", True),
        ("`x` is on line 1.", "I found no `x`.", False),
        ("`no_x` is on line 1.", "I found no `x`.", False),
        ("Hello to you.", "Hello! Ask me.", True),
        ("", "Hello! Ask me.", False),
    ],
)
def test_facts(answer: str, due: str, right: bool) -> None:
    assert names_facts(answer, due) is right


def outcome(number: int, kind: str, right: bool, steps: int = 1, attempt: int = 0) -> Result:
    done = work(READ, answer="done" if right else "gone")
    return result_of(done, Due((READ,), "done", {}), kind, steps, str(number), attempt)


def test_rates_rest_on_the_tasks_they_speak_of() -> None:
    chat = result_of(work(READ, answer="hello"), Due((), "hello", {}), "chat", item="1")
    found = summarise([outcome(0, "read", True, steps=2), chat])
    assert (found["exact_arguments"]["rate"], found["exact_arguments"]["of"]) == (1.0, 1)
    assert found["two_step_tasks_solved"]["of"] == 1
    assert found["right_tool_or_rightly_none"]["rate"] == 0.5
    assert found["solved_by_kind"]["chat"]["hits"] == 1
    assert found["all_tasks_solved"]["low"] == pytest.approx(0.3424, abs=1e-3)
    assert "solved_in_any_attempt" not in found


def test_of_several_attempts_the_first_counts_and_any_is_told() -> None:
    tries = [
        outcome(0, "read", False),
        outcome(0, "read", True, attempt=1),
        outcome(1, "read", False),
    ]
    named = rates(tries)
    assert (named["all_tasks_solved"].hits, named["all_tasks_solved"].of) == (0, 2)
    assert (named["solved_in_any_attempt"].hits, named["solved_in_any_attempt"].of) == (1, 2)


@pytest.mark.parametrize(
    ("due", "said", "named"),
    [
        ("`a/b.py` has 12 lines.", "There are 12 lines in a/b.py.", True),
        ("`a/b.py` has 12 lines.", "There are 112 lines in a/b.py.", False),
        ("`a/b.py` has 12 lines.", "There are 12.5 lines in a/b.py.", False),
        ("`a/b.py` has 12 lines.", "There are 12 lines in a/b.pyi.", False),
        ("`a/b.py` has 12 lines.", "There are 12 lines.", False),
        ("I found `f` in `x.py` line 3 and `y.py` line 4.", "f: x.py:3, y.py:4", True),
        ("It printed: all is well", "The output is all is\nwell.", True),
        ("It printed: all is well", "All went well.", False),
        ("It failed with exit code 1: no file", "It failed: exit code 1 (no file)", True),
        ("`RATE` is 0.35 in `c.py`.", "RATE in c.py is 0.35", True),
        ("`RATE` is 0.35 in `c.py`.", "RATE in c.py is 0.3", False),
    ],
)
def test_facts_are_whole_names_and_numbers_and_what_was_printed(
    due: str, said: str, named: bool
) -> None:
    assert names_facts(said, due) is named
