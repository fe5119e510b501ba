"""Calls that repeat: what the model is told, when the turn ends, and what is no circle."""

from collections.abc import Sequence
from json import dumps
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai.messages import ModelMessage

from punie.agent.events import Notice, ToolFinished, TurnEnded
from punie.agent.loop_guard import REPEATS, WAITING_REPEATS, LoopGuard, MadeCall, limit_remark
from punie.tools.base import Effect
from tests.agent.stage import Piece, Recording, Stage, call, messages_from_events, scripted


def made(
    tool: str, result: str = "same", effect: Effect = "read", failed: bool = False, **arguments: Any
) -> MadeCall:
    return MadeCall(tool, arguments, effect, result, failed)


LOOK = made("read_file", path="a")
OTHER = made("search", pattern="b")
EDIT = made("edit_file", "edited", "edit", path="a")


def told(guard: LoopGuard, *calls: MadeCall) -> list[str]:
    """Make the calls, each in a response of its own; return a word for what each of them read."""
    words: list[str] = []
    for each in calls:
        guard.begin_response()
        remark = guard.remark(each)
        if guard.ending is not None:
            return [*words, "end"]
        words.append(remark.split(":")[0].strip("\n( ") if remark else "")
    return words


def test_a_call_that_repeats_is_told_twice_and_ends_the_turn() -> None:
    guard = LoopGuard()
    assert told(guard, *[LOOK] * 9) == ["", "", "reminder", "warning", "end"]
    assert guard.ending == (
        "Stopped, because the model made the same read_file call 5 times, with the same result."
    )


@pytest.mark.parametrize("size", [2, 3])
def test_a_round_of_calls_is_a_circle(size: int) -> None:
    calls = [made("read_file", path=str(number)) for number in range(size)]
    words = told(LoopGuard(), *calls * 6)
    between = [""] * (size - 1)
    assert words == [
        *[""] * size * (REPEATS - 1), *between, "reminder", *between, "warning", *between, "end",
    ]  # fmt: skip


def test_calls_of_one_response_are_told_of_once() -> None:
    guard = LoopGuard()
    guard.begin_response()
    remarks = [guard.remark(LOOK) for _ in range(8)]
    assert sum(map(bool, remarks)) == 1
    assert guard.ending is None
    assert told(guard, LOOK, LOOK) == ["warning", "end"]


@pytest.mark.parametrize(
    "again",
    [
        made("edit_file", "error: not there", "edit", True, path="a", edits=[{"old": "x  y"}]),
        made("edit_file", "error: not there", "edit", True, path="a ", edits=[{"old": "x\ny"}]),
        made("edit_file", "error: not  there", "edit", True, edits=[{"old": "x y "}], path="a"),
    ],
)
def test_white_space_and_order_make_no_other_call_of_a_failing_one(again: MadeCall) -> None:
    first = made("edit_file", "error: not there", "edit", True, path="a", edits=[{"old": "x y"}])
    assert told(LoopGuard(), first, again, first) == ["", "", "reminder"]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("3 failed in 0.31s", "3 failed in 0.29s"),
        ("12:00:01 down", "12:00:09,120 down"),
        ("<object at 0x7f3a2b1c>", "<object at 0x7f3a2bff>"),
    ],
)
def test_what_differs_each_time_is_no_other_result(one: str, two: str) -> None:
    calls = [made("run_command", text, "execute", command="pytest") for text in (one, two, one)]
    assert told(LoopGuard(), *calls) == ["", "", "reminder"]


@pytest.mark.parametrize(
    "calls",
    [
        pytest.param([LOOK, OTHER, LOOK, LOOK, OTHER] * 3, id="out of order"),
        pytest.param([made("read_file", f"{n} lines", path="a") for n in range(9)], id="changes"),
        pytest.param(
            [
                made("run_command", f"{n} failed in 1.0s", "execute", command="pytest")
                for n in (5, 4, 3, 2, 1)
            ],
            id="tests get better",
        ),
        pytest.param(
            [
                step
                for n in range(5)
                for step in (made("edit_file", "edited", "edit", path="a", n=n), LOOK)
            ],
            id="an edit before each look",
        ),
        pytest.param([made("update_plan", steps=[n]) for n in range(5)], id="plan goes on"),
        pytest.param(
            [made("command_output", f"bg1 runs\n{n}%", id="bg1") for n in range(20)],
            id="background command makes progress",
        ),
        pytest.param(
            [made("command_output", "bg1 runs", id="bg1"), made("run_command", command="sleep 9")]
            * (WAITING_REPEATS - 1),
            id="background command is waited for",
        ),
        pytest.param(
            [made("run_command", "building", "execute", command="sleep 20; tail -1 log")]
            * (WAITING_REPEATS - 1),
            id="a command waits",
        ),
        pytest.param(
            [
                made("run_command", f"{n * 10} s elapsed", "execute", command="cat log")
                for n in range(9)
            ],
            id="a counter of seconds",
        ),
        pytest.param([made("edit_file", path="a", old="x y"), EDIT] * 2, id="two rounds"),
    ],
)
def test_what_repeats_for_a_reason_is_no_circle(calls: Sequence[MadeCall]) -> None:
    assert set(told(LoopGuard(), *calls)) == {""}


def test_edits_that_take_turns_are_a_circle() -> None:
    back = made("edit_file", "edited", "edit", path="a", to="old")
    words = told(LoopGuard(), *[EDIT, LOOK, back, LOOK] * 5)
    assert [word for word in words if word] == ["reminder", "warning", "end"]


def test_an_edit_that_failed_lets_nothing_count_anew() -> None:
    failed = made("edit_file", "error: no", "edit", True, path="a")
    assert told(LoopGuard(), *[LOOK, failed] * 3)[-1] == "reminder"


def test_a_plan_that_changes_is_passed_over() -> None:
    plans = [made("update_plan", steps=[number]) for number in range(3)]
    calls = [step for plan in plans for step in (LOOK, plan)]
    assert told(LoopGuard(), *calls) == ["", "", "", "", "reminder", ""]


def test_the_same_plan_over_and_over_is_a_circle() -> None:
    plan = made("update_plan", steps=[1])
    assert told(LoopGuard(), *[plan] * 4)[-1] == "reminder"


def test_another_call_lets_it_begin_anew() -> None:
    guard = LoopGuard()
    assert told(guard, *[LOOK] * 4, OTHER, *[LOOK] * 3)[-4:] == ["", "", "", "reminder"]


def test_a_command_that_is_waited_for_in_vain_is_a_circle_at_last() -> None:
    look = made("command_output", "bg1 runs", id="bg1")
    words = told(LoopGuard(), *[look] * 20)
    assert words.index("reminder") == WAITING_REPEATS - 1
    assert words[-1] == "end"


@given(st.lists(st.integers(0, 3), max_size=60))
def test_only_circles_are_told_of_and_all_of_them(numbers: list[int]) -> None:
    words = told(LoopGuard(), *(made("read_file", path=str(number)) for number in numbers))
    first = next((i for i, word in enumerate(words) if word), None)
    expected = next(
        (
            end - 1
            for end in range(1, len(numbers) + 1)
            for size in (1, 2, 3)
            if end >= size * REPEATS
            and numbers[end - size * REPEATS : end] == numbers[end - size : end] * REPEATS
        ),
        None,
    )
    assert first == expected


@pytest.mark.parametrize(
    ("left", "limit", "says"),
    [
        (5, 50, "only 5 more"),
        (1, 50, "answer now"),
        (2, 6, "only 2 more"),
        (1, 2, "answer now"),
        (2, 4, ""),
        (4, 50, ""),
        (0, 50, ""),
    ],
)
def test_the_model_is_told_when_its_responses_run_out(left: int, limit: int, says: str) -> None:
    remark = limit_remark(left, limit)
    assert bool(remark) == bool(says)
    assert says in remark


pytestmark = pytest.mark.anyio

ECHO = call("echo", dumps({"text": "a"}))


def results(stage: Stage) -> list[str]:
    return [event.result for event in stage.events if isinstance(event, ToolFinished)]


def contents(messages: Sequence[ModelMessage]) -> list[Any]:
    """Return all that a model reads of the messages."""
    return [
        (part.part_kind, getattr(part, "content", None), getattr(part, "args", None))
        for message in messages
        for part in message.parts
    ]


async def test_a_reminder_is_part_of_the_result_in_the_turn_and_in_the_store() -> None:
    recording = Recording()
    stage = Stage(scripted(lambda done, m: [ECHO] if done < 4 else ["I give up."], recording))
    events = await stage.turn("go")
    first, second, third, fourth = results(stage)
    assert (first, second) == ("a", "a")
    assert third.startswith("a\n(reminder: this call was made 3 times with the same result")
    assert fourth.startswith("a\n(warning: this call was made 4 times with the same result")
    assert events[-1] == TurnEnded(stop_reason="end_turn")
    assert not any(isinstance(event, Notice) for event in events)
    # What is opened again goes on from just what the model has read.
    again = messages_from_events(stage.events)
    asked = recording.requests[-1]
    assert contents(again[: len(asked)]) == contents(asked)


async def test_going_on_ends_the_turn_and_the_next_one_begins_anew() -> None:
    stage = Stage(scripted(lambda done, m: [ECHO]))
    for _ in range(2):
        events = await stage.turn("go")
        ended = [event for event in events if isinstance(event, ToolFinished)]
        assert len(ended) == 5
        assert ended[-1].result == "a"
        notice = events[-2]
        assert isinstance(notice, Notice)
        assert "same echo call 5 times" in notice.text
        assert events[-1] == TurnEnded(stop_reason="end_turn")


async def test_broken_and_denied_calls_count_too() -> None:
    broken: list[Piece] = [call("echo", '{"text": 1, "no":')]
    stage = Stage(scripted(lambda done, m: broken))
    await stage.turn("go")
    assert len(results(stage)) == 5
    denied = Stage(
        scripted(lambda done, m: [call("note", '{"path": "n"}')]), mode="ask", answer="reject_once"
    )
    await denied.turn("go")
    assert len(denied.asked) == 5


async def test_arguments_that_are_left_out_are_as_if_given() -> None:
    texts = ['{"text": "a"}', '{"times": 1, "text": "a"}', '{"text": "a", "suffix": null}']
    stage = Stage(
        scripted(lambda done, m: [call("echo", texts[done])] if done < len(texts) else ["ok"])
    )
    await stage.turn("go")
    assert "reminder" in results(stage)[-1]


async def test_near_the_limit_the_last_result_of_a_response_says_so() -> None:
    def script(done: int, _: Any) -> list[Piece]:
        return [call("echo", dumps({"text": f"{done}{n}"}), index=n) for n in range(2)]

    stage = Stage(scripted(script), max_requests=6)
    await stage.turn("go")
    said = results(stage)
    assert [number for number, text in enumerate(said) if "\n(" in text] == [7, 9]
    assert "only 2 more" in said[7]
    assert "answer now" in said[9]
