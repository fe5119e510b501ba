import anyio
import pytest

from punie.agent.cancel import CancelSignal
from punie.agent.events import (
    PermissionAnswered,
    PermissionAsked,
    TextDelta,
    ToolFinished,
    ToolRunning,
    ToolStarted,
    TurnEnded,
    TurnEvent,
)
from punie.agent.journal import Journal, PastTurns
from punie.tools.presentation import Presentation
from tests.agent.stage import Recording, Stage, call, scripted

pytestmark = pytest.mark.anyio
CANCELLED = TurnEnded(stop_reason="cancelled")


async def test_before_the_start_ends_at_once() -> None:
    recording = Recording()
    stage = Stage(scripted(lambda done, m: ["hello"], recording))
    cancel = CancelSignal()
    cancel.cancel()
    events = await stage.turn("go", cancel)
    assert [event.kind for event in events] == ["user_message", "turn_ended"]
    assert events[-1] == CANCELLED
    assert recording.requests == []


async def test_during_the_answer_keeps_what_was_said() -> None:
    cancel = CancelSignal()
    stage = Stage(
        scripted(lambda done, m: ["partial answer", 60.0, "never"] if done == 0 else ["fine"]),
        on_event=lambda event: cancel.cancel() if isinstance(event, TextDelta) else None,
    )
    with anyio.fail_after(10):
        events = await stage.turn("go", cancel)
    assert [event.kind for event in events] == ["user_message", "text", "turn_ended"]
    assert events[-1] == CANCELLED
    stage.on_event = lambda event: None
    assert (await stage.turn("again"))[-1] == TurnEnded(stop_reason="end_turn")


async def test_running_tool_is_ended_and_later_ones_never_start() -> None:
    cancel = CancelSignal()
    stage = Stage(
        scripted(
            lambda done, m: [
                call("wait", '{"seconds":60}', "w", 0),
                call("echo", '{"text":"x"}', "e", 1),
            ]
        ),
        on_event=lambda event: cancel.cancel() if isinstance(event, ToolRunning) else None,
    )
    with anyio.fail_after(10):
        events = await stage.turn("go", cancel)
    assert stage.props.ran in ([], ["wait"])
    assert stage.props.ended == stage.props.ran
    assert [(e.call_id, e.status, e.result) for e in events if isinstance(e, ToolFinished)] == [
        ("w", "failed", "error: cancelled"),
        ("e", "failed", "error: cancelled"),
    ]
    assert events[-1] == CANCELLED


async def test_running_tool_with_output_is_ended() -> None:
    cancel = CancelSignal()
    stage = Stage(
        scripted(lambda done, m: [call("wait", '{"seconds":60}', "w", 0)]),
        on_event=lambda event: cancel.cancel() if event.kind == "tool_progress" else None,
    )
    with anyio.fail_after(10):
        events = await stage.turn("go", cancel)
    assert (stage.props.ran, stage.props.ended) == (["wait"], ["wait"])
    assert events[-1] == CANCELLED


async def test_open_question_is_answered_with_no() -> None:
    cancel = CancelSignal()
    stage = Stage(
        scripted(lambda done, m: [call("note", '{"path":"n"}', "n")]),
        mode="ask",
    )

    async def never(asked: PermissionAsked) -> str | None:
        cancel.cancel()
        await anyio.sleep_forever()
        return None

    stage.ask = never  # type: ignore[method-assign]
    with anyio.fail_after(10):
        events = await stage.turn("go", cancel)
    assert [event.kind for event in events[-4:]] == [
        "permission_asked",
        "permission_answered",
        "tool_finished",
        "turn_ended",
    ]
    assert events[-3] == PermissionAnswered(call_id="n", choice=None, allowed=False)
    assert stage.props.ran == []


async def test_after_the_end_is_harmless_and_never_reaches_the_next_turn() -> None:
    stage = Stage(scripted(lambda done, m: ["hello"]))
    first = CancelSignal()
    await stage.turn("one", first)
    second = CancelSignal()
    stage.on_event = lambda event: first.cancel()
    events = await stage.turn("two", second)
    assert events[-1] == TurnEnded(stop_reason="end_turn")
    assert not second.cancelled


async def test_twice_is_once() -> None:
    cancel = CancelSignal()

    def twice(event: TurnEvent) -> None:
        if isinstance(event, TextDelta | ToolFinished):
            cancel.cancel()
            cancel.cancel()

    stage = Stage(scripted(lambda done, m: ["x", call("echo", '{"text":"a"}'), 5.0]))
    stage.on_event = twice
    with anyio.fail_after(10):
        events = await stage.turn("go", cancel)
    assert [event.kind for event in events].count("turn_ended") == 1
    assert events[-1] == CANCELLED


@pytest.mark.parametrize("nth", range(1, 9))
async def test_every_event_is_delivered_whole_whenever_the_cancel_comes(nth: int) -> None:
    """The cancel comes while event number `nth` is under way; it must still arrive."""
    cancel = CancelSignal()
    stage = Stage(
        scripted(lambda done, m: ["text", call("note", '{"path":"n"}')] if not done else ["end"]),
        mode="ask",
    )
    begun: list[TurnEvent] = []
    arrived: list[TurnEvent] = []

    async def slow(event: TurnEvent) -> None:
        begun.append(event)
        if len(begun) == nth:
            cancel.cancel()
        await anyio.sleep(0.001)
        arrived.append(event)
        stage.events.append(event)

    stage.emit = slow  # type: ignore[method-assign]
    with anyio.fail_after(10):
        await stage.turn("go", cancel)
    assert begun == arrived
    assert len(begun) >= nth
    started = {event.call_id for event in arrived if event.kind == "tool_started"}
    ended = [event.call_id for event in arrived if isinstance(event, ToolFinished)]
    assert sorted(started) == sorted(ended)
    assert arrived[-1] == CANCELLED


async def test_cancellation_from_outside_goes_through_and_leaves_a_whole_record() -> None:
    stage = Stage(scripted(lambda done, m: ["hm", call("wait", '{"seconds":60}', "w")]))
    with anyio.move_on_after(60) as scope:
        stage.on_event = lambda e: scope.cancel() if isinstance(e, ToolRunning) else None
        await stage.turn("go")
        pytest.fail("the cancellation was swallowed")
    assert scope.cancelled_caught
    assert [event.kind for event in stage.events[-2:]] == ["tool_finished", "turn_ended"]
    assert stage.events[-1] == CANCELLED


async def test_an_event_is_delivered_whole_or_not_known() -> None:
    """A cancel at any moment around an event: what is to be finished later was shown before."""
    shown = Presentation(title="Wait", kind="other")
    for pauses in range(6):
        delivered: list[TurnEvent] = []

        async def emit(event: TurnEvent, delivered: list[TurnEvent] = delivered) -> None:
            await anyio.lowlevel.checkpoint()
            delivered.append(event)

        signal = CancelSignal()
        journal = Journal(emit, signal, PastTurns())
        started = ToolStarted(
            call_id="c", message_id="m", tool="wait", arguments={}, presentation=shown
        )

        async def cancel(signal: CancelSignal = signal, pauses: int = pauses) -> None:
            for _ in range(pauses):
                await anyio.lowlevel.checkpoint()
            signal.cancel()

        async with anyio.create_task_group() as group:
            with signal.watching():
                group.start_soon(cancel)
                await journal.emit(started)
        assert (journal.new_call_id("c") == "c") == (delivered == [])
