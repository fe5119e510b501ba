"""Calls are shown while the model writes them, and never stay open."""

import json
from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from pydantic_ai.messages import TextPart
from pydantic_ai.models.function import DeltaToolCall

from punie.agent.cancel import CancelSignal
from punie.agent.events import (
    TextDelta,
    ToolFinished,
    ToolStarted,
    ToolUnwritten,
    ToolWriting,
    TurnEnded,
    TurnEvent,
    is_stored,
)
from punie.agent.toolset import MALFORMED
from punie.models.mlx.chat.messages import MALFORMED as WRITTEN_BY_MODELS
from tests.agent.stage import Piece, Stage, call, messages_from_events, scripted

pytestmark = pytest.mark.anyio

LONG = {"text": "abc", "suffix": "x" * 40}


def written(
    tool: str, arguments: Any, *, pause: float = 0.0, call_id: str = "c", chunks: int = 8
) -> list[Piece | float]:
    """A call as servers stream it: the name first, then pieces of its arguments."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    size = max(1, -(-len(text) // chunks))
    pieces: list[Piece | float] = [
        {0: DeltaToolCall(name=tool, json_args="", tool_call_id=call_id)}
    ]
    for start in range(0, len(text), size):
        pieces += [pause, {0: DeltaToolCall(json_args=text[start : start + size])}]
    return pieces


def stage(*responses: Sequence[Piece | float], **more: Any) -> Stage:
    return Stage(scripted(lambda done, _: responses[done]), **more)


def of_calls(events: Sequence[TurnEvent]) -> list[TurnEvent]:
    kinds = ToolWriting | ToolUnwritten | ToolStarted | ToolFinished
    return [event for event in events if isinstance(event, kinds)]


async def test_a_call_is_shown_as_soon_as_its_name_is_known() -> None:
    play = stage(["I echo. ", *written("echo", LONG, pause=0.1)], ["Done."])
    events = await play.turn("go")
    first, *more, started, _ = of_calls(events)
    assert isinstance(first, ToolWriting)
    assert (first.tool, first.arguments, first.presentation.title) == ("echo", {}, "echo")
    assert first.presentation.kind == "read"
    # What was said before it is shown before it.
    spoken = next(event for event in events if isinstance(event, TextDelta))
    assert events.index(spoken) < events.index(first)
    assert isinstance(started, ToolStarted)
    assert started.arguments == LONG
    assert started.presentation.title == "Echo abc"
    assert 1 <= len(more) <= 5
    sizes = []
    for event in more:
        assert isinstance(event, ToolWriting)
        assert event.call_id == first.call_id == started.call_id
        assert LONG["text"].startswith(event.arguments.get("text", ""))
        sizes.append(len(event.arguments.get("suffix", "")))
    assert sizes == sorted(sizes)
    assert more[-1].presentation.title == "echo: abc"  # type: ignore[union-attr]


async def test_arguments_of_a_call_do_not_reach_the_next_one_of_the_same_place() -> None:
    play = stage(
        written("echo", {"text": "first"}, chunks=3),
        written("echo", {"text": "other"}, chunks=3, pause=0.2),
        ["Done."],
    )
    events = await play.turn("go")
    ids = [event.call_id for event in events if isinstance(event, ToolStarted)]
    assert len(set(ids)) == 2
    shown = [event for event in events if isinstance(event, ToolWriting)]
    for event in shown:
        word = ("first", "other")[ids.index(event.call_id)]
        assert word.startswith(event.arguments.get("text", ""))
    assert {event.call_id for event in shown} == set(ids)


async def test_a_call_that_comes_whole_is_shown_once() -> None:
    play = stage([call("echo", '{"text": "a"}')], ["Done."])
    assert [event.kind for event in of_calls(await play.turn("go"))] == [
        "tool_started",
        "tool_finished",
    ]


async def test_a_tool_that_there_is_not_is_told_at_the_end_only() -> None:
    play = stage(written("dance", {"x": 1}), ["Done."])
    started, finished = of_calls(await play.turn("go"))
    assert isinstance(started, ToolStarted)
    assert isinstance(finished, ToolFinished)
    assert "no tool 'dance'; the tools are echo, note, wait" in finished.result


@pytest.mark.parametrize("broken", ["{", '{"text": "a', "nonsense", "[1]", '{"text": 1}', ""])
async def test_whatever_is_written_as_arguments_is_shown_and_ends(broken: str) -> None:
    play = stage(written("echo", broken), ["Done."])
    events = await play.turn("go")
    last = of_calls(events)[-1]
    assert isinstance(last, ToolFinished)
    assert last.status == "failed"
    assert isinstance(events[-1], TurnEnded)


async def test_a_cancel_takes_back_the_call_that_is_being_written() -> None:
    play = stage(["I echo. ", *written("echo", LONG, pause=0.2, chunks=40)], ["Done."])
    cancel = CancelSignal()

    def stop(event: TurnEvent) -> None:
        if isinstance(event, ToolWriting) and event.arguments:
            cancel.cancel()

    play.on_event = stop
    with anyio.fail_after(20):
        events = await play.turn("go", cancel)
    *writing, end = of_calls(events)
    assert all(isinstance(event, ToolWriting) for event in writing)
    assert end == ToolUnwritten(call_id=writing[0].call_id)  # type: ignore[union-attr]
    assert isinstance(events[-1], TurnEnded)
    assert events[-1].stop_reason == "cancelled"
    # The model never made that call: it reads what it said before.
    for seen in (events, [event for event in events if is_stored(event)]):
        _, answer = messages_from_events(seen)
        assert answer.parts == [TextPart("I echo. ")]


async def test_a_model_that_fails_while_it_writes_leaves_no_call_open() -> None:
    def respond(done: int, _: Any) -> Sequence[Piece | float]:
        def pieces() -> Any:
            yield from written("echo", LONG)[:4]
            raise RuntimeError("out of memory")

        return pieces()  # type: ignore[no-any-return]

    events = await Stage(scripted(respond)).turn("go")
    last = of_calls(events)[-1]
    assert isinstance(last, ToolUnwritten)
    assert isinstance(events[-1], TurnEnded)


def test_models_and_agent_name_the_reason_of_a_broken_call_alike() -> None:
    assert MALFORMED == WRITTEN_BY_MODELS
