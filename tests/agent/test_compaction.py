"""What /compact leaves out, and that the model's prompts go on from there token for token."""

import json
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_ai.messages import ModelMessage, ToolReturnPart

from punie.agent.compaction import Compaction, plan_on_demand
from punie.agent.events import (
    Compacted,
    PromptText,
    TextDelta,
    ToolFinished,
    ToolStarted,
    TurnEnded,
    TurnEvent,
    UsageChanged,
    UserMessage,
)
from punie.agent.history import CLEARED
from punie.agent.journal import PastTurns
from punie.tools.presentation import Presentation
from tests.agent.stage import Piece, Recording, Stage, call, messages_from_events, prompt, scripted
from tests.agent.test_budget import paired
from tests.agent.test_history import flat

PICTURE = Presentation(title="t", kind="read")


def turn(
    number: int, *reads: tuple[str, str], tool: str = "read_file", answer: str = "ok"
) -> list[TurnEvent]:
    """A turn that reads files: each is a path and what is in it."""
    events: list[TurnEvent] = [prompt(f"prompt {number}")]
    for index, (path, content) in enumerate(reads):
        call_id = f"{number}-{index}"
        started = ToolStarted(
            call_id=call_id,
            message_id=f"m{call_id}",
            tool=tool,
            arguments={"path": path},
            presentation=PICTURE,
        )
        finished = ToolFinished(
            call_id=call_id, status="completed", result=content, presentation=PICTURE
        )
        events += [started, finished]
    events += [TextDelta(message_id=f"a{number}", text=answer), TurnEnded(stop_reason="end_turn")]
    return events


def usage(tokens: int, window: int = 10_000) -> UsageChanged:
    return UsageChanged(context_tokens=tokens, context_size=window)


def command(name: str, *events: TurnEvent) -> list[TurnEvent]:
    text = f"/{name}"
    message = UserMessage(message_id=name, blocks=(PromptText(text=text),), text=text, command=name)
    answer = TextDelta(message_id=f"{name}-answer", text="Some answer.")
    return [message, *events, answer, TurnEnded(stop_reason="end_turn")]


def on_demand(events: Sequence[TurnEvent], *, all_turns: bool = False) -> Compaction | None:
    return plan_on_demand(PastTurns(events).history, all_turns=all_turns)


def results(messages: Sequence[ModelMessage]) -> dict[str, str]:
    return {
        part.tool_call_id: part.model_response_str()
        for message in messages
        for part in message.parts
        if isinstance(part, ToolReturnPart)
    }


LONG = "x" * 900


def test_repeated_reads_and_old_results_go_before_any_turn() -> None:
    events = [
        *turn(1, ("a.py", LONG), ("b.py", LONG), ("short.py", "1")),
        *turn(2, ("a.py", LONG)),
        *turn(3, ("b.py", "changed" + LONG), ("c.py", LONG)),
        usage(2_000),
    ]
    plan = on_demand(events)
    assert plan is not None
    assert plan.cleared == ("1-0", "1-1", "2-0")
    assert (plan.repeated, plan.old, plan.turns, plan.dropped) == (2, 1, 0, 0)
    assert 1_100 < plan.after < 1_300
    compacted = Compacted(dropped=plan.dropped, cleared=plan.cleared)
    messages = messages_from_events([*events, *command("compact", compacted)])
    assert results(messages) == {
        "1-0": CLEARED,
        "1-1": CLEARED,
        "1-2": "1",
        "2-0": CLEARED,
        "3-0": "changed" + LONG,
        "3-1": LONG,
    }
    assert len(messages) == len(messages_from_events(events))


def test_whole_turns_go_when_the_window_stays_full() -> None:
    events: list[TurnEvent] = []
    for number in range(1, 6):
        events += turn(number, answer="y" * 3_000)
    events += [usage(8_000)]
    plan = on_demand(events)
    assert plan is not None
    assert plan.turns == 3
    assert plan.dropped == 6
    assert 4_900 < plan.after <= 5_000
    messages = messages_from_events([*events, Compacted(dropped=plan.dropped)])
    assert [item[1] for item in flat(messages) if item[0] == "user"] == ["prompt 4", "prompt 5"]


def test_a_failed_read_replaces_no_earlier_one() -> None:
    events = [
        *turn(1, ("a.py", LONG)),
        *turn(2, ("a.py", "error: there is no file a.py")),
    ]
    plan = on_demand(events)
    assert plan is not None
    assert (plan.repeated, plan.old) == (0, 1)


def test_when_nothing_can_be_cleared_the_older_turns_go() -> None:
    events = [*turn(1), *turn(2), *turn(3), *turn(4), usage(100)]
    plan = on_demand(events)
    assert plan is not None
    assert (plan.turns, plan.dropped) == (2, 4)
    events.append(Compacted(dropped=plan.dropped))
    assert on_demand(events) is None


@pytest.mark.parametrize("events", [[], turn(1), turn(1, ("a.py", LONG)), turn(1) + turn(2)])
def test_nothing_to_compact(events: list[TurnEvent]) -> None:
    assert on_demand(events) is None


READS = st.lists(
    st.tuples(st.sampled_from(["a.py", "b.py", "c.py"]), st.integers(0, 600).map("z".__mul__)),
    max_size=4,
)


@given(
    turns=st.lists(st.tuples(READS, st.integers(0, 900)), max_size=7),
    tokens=st.integers(0, 12_000),
    window=st.sampled_from([0, 1_000, 10_000]),
)
@settings(deadline=None)
def test_compacting_keeps_the_latest_turn_and_valid_messages(
    turns: list[tuple[list[tuple[str, str]], int]], tokens: int, window: int
) -> None:
    events: list[TurnEvent] = []
    for number, (reads, answer) in enumerate(turns):
        events += turn(number, *reads, answer="a" * answer)
    events.append(usage(tokens, window))
    before = messages_from_events(events)
    plan = on_demand(events)
    if plan is None:
        return
    assert plan.cleared or plan.dropped
    events += command("compact", Compacted(dropped=plan.dropped, cleared=plan.cleared))
    after = messages_from_events(events)
    assert paired(after)
    assert len(after) == len(before) - plan.dropped
    whole, shown = flat(before), flat(after)
    latest = whole[whole.index(("user", f"prompt {len(turns) - 1}")) :]
    assert shown[-len(latest) :] == latest
    assert sum(len(str(item)) for item in shown) <= sum(len(str(item)) for item in whole)
    # Compacting again finds nothing that it has already cleared.
    again = on_demand(events)
    assert again is None or not set(again.cleared) & set(plan.cleared)


@pytest.mark.anyio
async def test_after_compacting_each_request_extends_the_one_before() -> None:
    recording = Recording()

    def script(done: int, messages: Sequence[ModelMessage]) -> list[Piece]:
        if messages[-1].parts[-1].part_kind == "user-prompt":
            return [call("echo", json.dumps({"text": "x" * 600 + str(done)}))]
        return ["Said."]

    stage = Stage(scripted(script, recording, window=30_000))
    await stage.turn("one")
    await stage.turn("two")
    before = flat(recording.requests[-1])
    plan = on_demand(stage.events)
    assert plan is not None
    stage.events += command("compact", Compacted(dropped=plan.dropped, cleared=plan.cleared))
    recording.requests.clear()
    await stage.turn("three")
    stage.events += command("help")
    await stage.turn("four")
    requests = [flat(request) for request in recording.requests]
    assert requests[0] != before[: len(requests[0])]
    assert ("user", "two") in requests[0]
    assert all("/help" not in str(request) for request in requests)
    for earlier, later in pairwise(requests):
        assert later[: len(earlier)] == earlier
