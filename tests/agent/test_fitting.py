"""How a turn makes room by itself: the tiers, the summary, the warning, and the same once more."""

import json
import re
from collections.abc import Sequence
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.function import FunctionModel

from punie.agent.budget import Fill, message_chars
from punie.agent.compaction import plan_compaction, plan_on_demand
from punie.agent.events import (
    Compacted,
    Notice,
    TurnEnded,
    TurnEvent,
    UsageChanged,
    decode_event,
    encode_event,
)
from punie.agent.fitting import fullness_warning
from punie.agent.history import CLEARED, SUMMARY_HEAD, HistoryBuilder
from punie.agent.journal import PastTurns
from punie.agent.summary import Summariser
from punie.models.scripted import Script, ScriptedModel, ScriptedResponse
from tests.agent.stage import Piece, Recording, Stage, call, messages_from_events, scripted
from tests.agent.stage import Script as Answers
from tests.agent.test_budget import asks_for_summary, paired
from tests.agent.test_compaction import LONG, results, turn
from tests.agent.test_history import flat

pytestmark = pytest.mark.anyio


def echoes(size: int, summary: Sequence[Piece | float] = ("It echoed.",)) -> Answers:
    """A model that makes one call in each turn and then answers."""

    def script(done: int, messages: Sequence[ModelMessage]) -> Sequence[Piece | float]:
        if asks_for_summary(messages):
            return summary
        if messages[-1].parts[-1].part_kind == "user-prompt":
            text = f"{done}" + "x" * size
            return [call("echo", json.dumps({"text": text}))]
        return ["ab " * 120]

    return script


def of(kind: type[TurnEvent], events: Sequence[TurnEvent]) -> list[TurnEvent]:
    return [event for event in events if isinstance(event, kind)]


async def test_results_go_first_and_then_turns_with_a_summary_that_extends_the_prompt() -> None:
    recording = Recording()
    stage = Stage(scripted(echoes(700), recording, window=9_000))
    for number in range(40):
        await stage.turn(f"prompt {number}")
        steps = [event for event in stage.events if isinstance(event, Compacted)]
        if steps and steps[-1].summary:
            break
    last = steps[-1]
    assert last.summary.startswith(SUMMARY_HEAD)
    assert last.summary.endswith("It echoed.")
    assert last.cleared
    assert last.dropped
    asked = next(i for i, r in enumerate(recording.requests) if asks_for_summary(r))
    before, request, after = recording.requests[asked - 1 : asked + 2]
    summed_up = flat(request)[:-1]
    assert flat(before)[: len(summed_up)] == summed_up
    assert len(request) - 1 == last.dropped
    assert flat(after)[0] == ("user", last.summary)
    assert paired(after)
    assert flat(messages_from_events(stage.events))[: len(flat(after))] == flat(after)
    (said,) = [
        event for event in stage.events if isinstance(event, Notice) and "sums" in event.text
    ]
    assert stage.events.index(said) < stage.events.index(last)


async def test_a_reopened_session_asks_what_the_open_one_asks() -> None:
    live, reopened = Recording(), Recording()
    stage = Stage(scripted(echoes(700), live, window=9_000))
    while not any(isinstance(event, Compacted) and event.summary for event in stage.events):
        await stage.turn("again")
    stored = [decode_event(encode_event(event)) for event in stage.events]
    other = Stage(scripted(echoes(700), reopened, window=9_000), events=stored)
    live.requests.clear()
    await stage.turn("the next")
    await other.turn("the next")
    assert flat(reopened.requests[0]) == flat(live.requests[0])


@pytest.mark.parametrize("summary", [[], ["  "], [call("echo", '{"text": "no"}')]])
async def test_without_a_summary_the_turns_go_all_the_same(summary: list[Piece | float]) -> None:
    stage = Stage(scripted(echoes(700, summary), window=9_000))
    for number in range(24):
        events = await stage.turn(f"prompt {number}")
        assert events[-1] == TurnEnded(stop_reason="end_turn")
    steps = [event for event in stage.events if isinstance(event, Compacted)]
    assert sum(step.dropped for step in steps) > 4
    assert not any(step.summary for step in steps)


async def test_a_summary_that_fails_is_no_trouble_for_the_turn() -> None:
    def script(done: int, messages: Sequence[ModelMessage]) -> Sequence[Piece | float]:
        if asks_for_summary(messages):
            raise RuntimeError("no memory")
        return echoes(700)(done, messages)

    stage = Stage(scripted(script, window=9_000))
    for number in range(24):
        events = await stage.turn(f"prompt {number}")
        assert not [e for e in events if isinstance(e, Notice) and e.severity == "error"]
    assert any(isinstance(event, Compacted) and event.dropped for event in stage.events)


async def test_a_model_with_a_small_window_is_not_asked() -> None:
    recording = Recording()
    stage = Stage(scripted(echoes(700), recording, window=7_000))
    while not any(isinstance(event, Compacted) and event.dropped for event in stage.events):
        await stage.turn("again")
    assert not any(asks_for_summary(request) for request in recording.requests)
    assert not any(isinstance(event, Notice) and "sums" in event.text for event in stage.events)


async def test_what_the_person_wants_kept_is_asked_for() -> None:
    recording = Recording()
    stage = Stage(scripted(echoes(30), recording, window=30_000))
    for number in range(3):
        await stage.turn(f"prompt {number}")
    history = PastTurns(stage.events).history
    plan = plan_on_demand(history, all_turns=True)
    assert plan is not None
    assert (plan.turns, plan.summed_up, plan.dropped) == (2, 8, 8)
    summariser = Summariser.of_turn(stage.config(), "the names of the tables")
    said = await summariser.stand_in(history.messages(), plan.summed_up)
    assert said.endswith("It echoed.")
    request = flat(recording.requests[-1])
    assert request[-1][1].endswith(" Above all, keep this: the names of the tables")
    # Of little there is little to say.
    words = re.search(r"at most (\d+) words", request[-1][1])
    assert words is not None
    assert 24 <= int(words[1]) < 200
    assert request[:-1] == flat(history.messages())[: len(request) - 1]


async def test_a_later_summary_takes_in_the_one_before() -> None:
    recording = Recording()
    stage = Stage(scripted(echoes(700), recording, window=9_000))
    while sum(isinstance(e, Compacted) and bool(e.summary) for e in stage.events) < 2:
        await stage.turn("again")
    second = [request for request in recording.requests if asks_for_summary(request)][1]
    assert flat(second)[0][1].startswith(SUMMARY_HEAD)
    now = flat(messages_from_events(stage.events))
    assert sum(item[1].startswith(SUMMARY_HEAD) for item in now) == 1


async def test_the_person_is_warned_once_when_the_window_is_nearly_full() -> None:
    answer = ScriptedResponse(text="word " * 1_000)
    model = ScriptedModel(Script(responses=(answer,), repeat=True))
    stage = Stage(cast("FunctionModel", model))
    warned: list[int] = []
    for number in range(60):
        events = await stage.turn(f"prompt {number}")
        warned += [number for e in events if isinstance(e, Notice) and e.severity == "warning"]
        if any(isinstance(event, Compacted) for event in events):
            break
    assert len(warned) == 1
    assert 0 < warned[0] < number


async def test_newest_results_that_are_too_large_together_are_cut_and_say_so() -> None:
    recording = Recording()

    def script(done: int, messages: Sequence[ModelMessage]) -> Sequence[Piece | float]:
        if len(messages) > 1:
            return ["Much."]
        return [
            call("echo", json.dumps({"text": "a", "times": times}), f"c{index}", index)
            for index, times in enumerate([9_000, 50, 2_000, 9_000, 9_000])
        ]

    stage = Stage(scripted(script, recording, window=5_000))
    events = await stage.turn("all at once")
    (step,) = of(Compacted, events)
    assert isinstance(step, Compacted)
    assert set(step.cut) == {"c0", "c3", "c4"}
    assert step.dropped == 0
    read = results(recording.requests[1])
    for call_id, most in step.cut.items():
        assert f"(cut at {most} of" in read[call_id]
    assert read["c1"] == "a" * 50
    assert sum(len(part) for item in flat(recording.requests[1]) for part in item) / 3 < 5_000
    assert results(messages_from_events(stage.events)) == read


READS = st.lists(
    st.tuples(st.sampled_from(["a.py", "b.py"]), st.integers(0, 3_000).map("z".__mul__)),
    max_size=4,
)


@given(
    turns=st.lists(st.tuples(READS, st.integers(0, 900)), min_size=1, max_size=6),
    limit=st.integers(100, 4_000),
)
@settings(deadline=None)
def test_what_is_planned_is_what_it_then_takes(
    turns: list[tuple[list[tuple[str, str]], int]], limit: int
) -> None:
    events: list[TurnEvent] = []
    for number, (reads, answer) in enumerate(turns):
        events += turn(number, *reads, answer="a" * answer)
    history = PastTurns(events[:-2]).history
    before = history.messages()
    used = sum(map(message_chars, before)) / 3
    fill = Fill(used, 1 / 3, limit=limit, target=limit / 2)
    plan = plan_compaction(before, history.prompt, fill)
    if plan is None:
        return
    step = Compacted(dropped=plan.dropped, cleared=plan.cleared, cut=plan.cut)
    after = messages_from_events([*events[:-2], step])
    assert paired(after)
    assert ("user", f"prompt {len(turns) - 1}") in flat(after)
    assert len(after) == len(before) - plan.dropped
    taken = sum(map(message_chars, after)) / 3
    assert abs(taken - plan.after) <= 40 * len(plan.cut) + 2
    # A turn goes only when there was nothing left to clear in older ones.
    if plan.turns and used > limit:
        older = {key: text for key, text in results(after).items() if int(key[0]) < len(turns) - 1}
        assert all(text == CLEARED or len(text) <= 200 for text in older.values())


def test_a_whole_read_replaces_the_reads_of_parts() -> None:
    events = [*turn(1, ("a.py", LONG)), *turn(2, ("a.py", LONG)), *turn(3)]
    started = events[1]
    assert started.kind == "tool_started"
    part = started.model_copy(update={"arguments": {"path": "a.py", "start_line": 5}})
    history = PastTurns([events[0], part, *events[2:]]).history
    fill = Fill(1_000, 1 / 3, limit=900, target=800)
    plan = plan_compaction(history.messages(), history.prompt, fill)
    assert plan is not None
    assert (plan.cleared, plan.repeated) == (("1-0",), 1)


async def test_no_more_than_all_is_full() -> None:
    usage = UsageChanged(context_tokens=2_048, context_size=2_048)
    told = fullness_warning(HistoryBuilder(), usage, 1_536)
    assert told is not None
    assert "fills 1,536 of the 1,536 tokens" in told.text
