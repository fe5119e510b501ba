"""A turn from its first event to its last, on a real pydantic-ai run."""

from collections.abc import Sequence

import pytest
from pydantic_ai.messages import ModelMessage, ModelRequest, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.test import TestModel

from punie.agent.events import (
    Notice,
    PermissionAnswered,
    PermissionAsked,
    TextDelta,
    ThoughtDelta,
    ToolFinished,
    ToolProgress,
    ToolStarted,
    TurnEnded,
    TurnEvent,
    UsageChanged,
)
from punie.tools.presentation import DiffContent
from tests.agent.stage import Piece, Recording, Stage, call, scripted, thought

pytestmark = pytest.mark.anyio

Answers = Sequence[Sequence[Piece | float]]


def playing(answers: Answers, recording: Recording | None = None) -> FunctionModel:
    return scripted(lambda done, messages: answers[done], recording)


def kinds(events: Sequence[TurnEvent]) -> list[str]:
    return [event.kind for event in events]


def finished(events: Sequence[TurnEvent]) -> list[ToolFinished]:
    return [event for event in events if isinstance(event, ToolFinished)]


def results_read(messages: Sequence[ModelMessage]) -> list[str]:
    return [
        str(part.content)
        for message in messages
        if isinstance(message, ModelRequest)
        for part in message.parts
        if isinstance(part, ToolReturnPart)
    ]


async def test_call_then_answer() -> None:
    stage = Stage(
        playing([["Looking. ", call("echo", '{"text":"hi"}', "c1")], ["It says ", "hi."]])
    )
    events = await stage.turn("what does it say?")
    assert kinds(events) == [
        "user_message",
        "text",
        "tool_started",
        "usage",
        "tool_running",
        "tool_finished",
        "text",
        "usage",
        "turn_ended",
    ]
    first, started, last = events[1], events[2], events[-3]
    assert isinstance(first, TextDelta)
    assert isinstance(started, ToolStarted)
    assert isinstance(last, TextDelta)
    assert (started.call_id, started.tool, started.arguments) == ("c1", "echo", {"text": "hi"})
    assert started.presentation.title == "Echo hi"
    assert started.message_id == first.message_id != last.message_id
    assert last.text == "It says hi."
    assert events[-1] == TurnEnded(stop_reason="end_turn")


async def test_test_model_of_pydantic_ai_calls_every_tool() -> None:
    stage = Stage(playing([]))
    stage.model = TestModel(custom_output_text="done")  # type: ignore[assignment]
    events = await stage.turn("go")
    assert [event.tool for event in events if isinstance(event, ToolStarted)] == [
        "echo",
        "note",
        "wait",
    ]
    assert stage.props.ran == ["echo a", "note a", "wait"]
    assert events[-1] == TurnEnded(stop_reason="end_turn")


async def test_small_pieces_are_joined_and_flushed_before_other_events() -> None:
    pieces: list[Piece | float] = [thought("h"), thought("m"), *("word " for _ in range(200))]
    stage = Stage(playing([[*pieces, call("echo", '{"text":"x"}')], ["end"]]))
    events = await stage.turn("talk")
    thoughts = [event for event in events if isinstance(event, ThoughtDelta)]
    texts = [event for event in events if isinstance(event, TextDelta)]
    assert "".join(event.text for event in thoughts) == "hm"
    assert "".join(event.text for event in texts) == "word " * 200 + "end"
    assert len(texts) < 30
    order = kinds(events)
    assert order.index("thought") < order.index("text") < order.index("tool_started")
    assert "text" not in order[order.index("tool_started") : order.index("tool_finished")]


async def test_text_before_a_pause_is_shown_during_it() -> None:
    seen: list[str] = []
    stage = Stage(
        scripted(lambda done, messages: ["partial", 0.5, "rest"]),
        on_event=lambda event: seen.append(event.kind),
    )
    await stage.turn("talk slowly")
    assert seen.count("text") == 2


async def test_calls_of_one_response_run_one_after_another_in_order() -> None:
    stage = Stage(
        playing(
            [
                [
                    call("wait", '{"seconds":0.05}', "w", 0),
                    call("echo", '{"text":"a"}', "a", 1),
                    call("echo", '{"text":"b"}', "b", 2),
                ],
                ["done"],
            ]
        )
    )
    events = await stage.turn("go")
    assert stage.props.ran == ["wait", "echo a", "echo b"]
    assert [e.call_id for e in events if isinstance(e, ToolStarted)] == ["w", "a", "b"]
    steps = [e.kind for e in events if e.kind in ("tool_running", "tool_finished")]
    assert steps == ["tool_running", "tool_finished"] * 3


async def test_progress_is_whole_and_throttled() -> None:
    stage = Stage(playing([[call("wait", '{"seconds":0.7}')], ["done"]]))
    events = await stage.turn("go")
    pieces = [event.text for event in events if isinstance(event, ToolProgress)]
    assert "".join(pieces) == "".join(f"{number}\n" for number in range(1000))
    assert 2 <= len(pieces) <= 40  # a thousand pieces came in; how many go out hangs on the clock
    order = kinds(events)
    assert order.index("tool_running") < order.index("tool_progress")
    assert "tool_progress" not in order[order.index("tool_finished") :]


async def test_doubled_call_ids_of_a_model_become_unique() -> None:
    recording = Recording()
    stage = Stage(
        playing(
            [
                [call("echo", '{"text":"a"}', "call_1")],
                [call("echo", '{"text":"b"}', "call_1")],
                ["done"],
                [call("echo", '{"text":"c"}', "call_1")],
                ["done"],
            ],
            recording,
        )
    )
    await stage.turn("one")
    await stage.turn("two")
    ids = [event.call_id for event in stage.events if isinstance(event, ToolStarted)]
    assert len(set(ids)) == 3
    assert ids[0] == "call_1"
    assert [event.call_id for event in finished(stage.events)] == ids
    assert results_read(recording.requests[-1]) == ["a", "b", "c"]


async def test_a_call_that_is_no_json_leaves_no_arguments_behind() -> None:
    recording = Recording()
    stage = Stage(playing([[call("echo", '{"text": "a')], ["done"]], recording))
    await stage.turn("go")
    (started,) = [event for event in stage.events if isinstance(event, ToolStarted)]
    assert started.arguments == {}
    parts = [part for message in recording.requests[-1] for part in message.parts]
    (again,) = [part for part in parts if isinstance(part, ToolCallPart)]
    assert again.args_as_dict() == {}


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        ("echo", "{}", "error: echo: text is missing; valid arguments are text (string), "),
        ("echo", '{"text":"a","loud":true}', "error: echo: loud is not an argument; the nearest"),
        ("echo", '{"text":"a","times":"many"}', "times: input should be a valid integer"),
        ("echo", '{"text": "a', "error: echo: the arguments are not a JSON object; valid"),
        ("echo", "[1]", "error: echo: the arguments are not a JSON object"),
        ("note", '{"path":"p","changes":[{"old":1}]}', "changes.0.new is missing"),
        ("fly", "{}", "error: there is no tool 'fly'; the tools are echo, note, wait"),
    ],
)
async def test_malformed_call_fails_with_a_sentence_and_the_model_may_retry(
    tool: str, arguments: str, says: str
) -> None:
    recording = Recording()
    stage = Stage(
        playing([[call(tool, arguments)], [call("echo", '{"text":"a"}')], ["ok"]], recording)
    )
    events = await stage.turn("go")
    bad, good = finished(events)
    assert (bad.status, good.status) == ("failed", "completed")
    assert says in bad.result
    assert "\n" not in bad.result
    assert results_read(recording.requests[1]) == [bad.result]
    assert stage.props.ran == ["echo a"]
    assert events[-1] == TurnEnded(stop_reason="end_turn")


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("echo", '{"text":"a","times":null}'),
        ("echo", '{"text":"a","times":"1","suffix":null}'),
        ("note", '{"path":"p","changes":"[{\\"old\\": \\"a\\", \\"new\\": \\"b\\"}]"}'),
    ],
)
async def test_harmless_slips_in_arguments_are_repaired(tool: str, arguments: str) -> None:
    stage = Stage(playing([[call(tool, arguments)], ["ok"]]))
    events = await stage.turn("go")
    assert [event.status for event in finished(events)] == ["completed"]


async def test_tool_errors_and_bugs_are_told_to_the_model() -> None:
    recording = Recording()
    stage = Stage(
        playing(
            [[call("echo", '{"text":"boom"}')], [call("echo", '{"text":"bug"}')], ["ok"]], recording
        )
    )
    events = await stage.turn("go")
    assert [event.status for event in finished(events)] == ["failed", "failed"]
    assert results_read(recording.requests[-1]) == [
        "error: nothing to echo; give another text",
        "error: echo failed: RuntimeError: a bug",
    ]


async def test_oversized_result_is_cut() -> None:
    stage = Stage(playing([[call("echo", '{"text":"x","times":5000}')], ["ok"]]), result_chars=100)
    (result,) = finished(await stage.turn("go"))
    assert result.result == "x" * 100 + "\n(cut at 100 of 5000 characters)"


class TestPermission:
    async def test_allowed_call_runs_after_the_question_with_its_diff(self) -> None:
        stage = Stage(playing([[call("note", '{"path":"n"}', "c1")], ["ok"]]), mode="ask")
        events = await stage.turn("go")
        assert kinds(events)[1:7] == [
            "tool_started",
            "usage",
            "permission_asked",
            "permission_answered",
            "tool_running",
            "tool_finished",
        ]
        (asked,) = stage.asked
        assert isinstance(asked.presentation.content[0], DiffContent)
        assert [choice.kind for choice in asked.choices] == ["allow_once", "reject_once"]
        assert stage.props.ran == ["note n"]

    async def test_denied_call_never_runs_and_the_model_is_told(self) -> None:
        recording = Recording()
        stage = Stage(
            playing([[call("note", '{"path":"n"}')], ["ok"]], recording),
            mode="ask",
            answer="reject_once",
        )
        events = await stage.turn("go")
        assert stage.props.ran == []
        (result,) = finished(events)
        assert result.status == "failed"
        assert results_read(recording.requests[1]) == ["error: the user did not allow this call"]
        assert "tool_running" not in kinds(events)
        assert events[-1] == TurnEnded(stop_reason="end_turn")

    async def test_unknown_answer_is_a_no(self) -> None:
        stage = Stage(playing([[call("note", '{"path":"n"}')], ["ok"]]), mode="ask", answer="sure")
        events = await stage.turn("go")
        assert stage.props.ran == []
        assert [e.allowed for e in events if isinstance(e, PermissionAnswered)] == [False]

    async def test_cancelled_question_ends_the_turn(self) -> None:
        stage = Stage(
            playing([[call("note", '{"path":"n"}', "a"), call("note", '{"path":"m"}', "b", 1)]]),
            mode="ask",
            answer=None,
        )
        events = await stage.turn("go")
        assert [(e.call_id, e.status, e.result) for e in finished(events)] == [
            ("a", "failed", "error: cancelled"),
            ("b", "failed", "error: cancelled"),
        ]
        assert len(stage.asked) == 1
        assert stage.props.ran == []
        assert events[-1] == TurnEnded(stop_reason="cancelled")

    async def test_failing_question_is_a_cancelled_one(self) -> None:
        stage = Stage(playing([[call("note", '{"path":"n"}')]]), mode="ask")

        async def broken(asked: PermissionAsked) -> str | None:
            raise ConnectionError("the client went away")

        stage.ask = broken  # type: ignore[method-assign]
        events = await stage.turn("go")
        assert stage.props.ran == []
        assert events[-1] == TurnEnded(stop_reason="cancelled")

    async def test_call_that_cannot_be_presented_fails_without_asking(self) -> None:
        stage = Stage(playing([[call("note", '{"path":"missing"}')], ["ok"]]), mode="ask")
        events = await stage.turn("go")
        assert stage.asked == []
        assert stage.props.ran == []
        assert [event.result for event in finished(events)] == [
            "error: missing does not exist; list the folder first"
        ]

    async def test_mode_changed_during_the_turn_counts_for_the_next_call(self) -> None:
        stage = Stage(
            playing([[call("note", '{"path":"a"}'), call("note", '{"path":"b"}', None, 1)], ["ok"]])
        )

        def switch(event: TurnEvent) -> None:
            if isinstance(event, ToolFinished):
                stage.mode = "plan"

        stage.on_event = switch
        events = await stage.turn("go")
        assert stage.props.ran == ["note a"]
        assert finished(events)[1].result.startswith("error: plan mode only allows reading")
        assert stage.asked == []


class TestStopReasons:
    async def test_request_limit(self) -> None:
        recording = Recording()
        stage = Stage(
            scripted(lambda done, m: [call("echo", f'{{"text":"{done}"}}')], recording),
            max_requests=3,
        )
        events = await stage.turn("go on for ever")
        assert events[-1] == TurnEnded(stop_reason="max_turn_requests")
        assert len(recording.requests) == 3
        assert stage.props.ran == ["echo 0", "echo 1", "echo 2"]
        assert isinstance(events[-2], Notice)

    async def test_malformed_calls_are_bounded_by_the_request_limit(self) -> None:
        recording = Recording()
        stage = Stage(
            scripted(lambda done, m: [call("echo", f'{{"wrong{done}":1}}')], recording),
            max_requests=6,
        )
        events = await stage.turn("go")
        assert len(recording.requests) == 6
        assert [event.status for event in finished(events)] == ["failed"] * 6
        assert events[-1] == TurnEnded(stop_reason="max_turn_requests")

    async def test_empty_answer_is_said(self) -> None:
        stage = Stage(playing([[thought("nothing to say")]]))
        events = await stage.turn("go")
        assert isinstance(events[-2], Notice)
        assert events[-1] == TurnEnded(stop_reason="end_turn")

    async def test_model_failure_is_one_sentence(self) -> None:
        def fail(done: int, messages: Sequence[ModelMessage]) -> Sequence[Piece]:
            if done == 0:
                return ["Let me see.", call("echo", '{"text":"a"}')]
            raise OSError("weights.safetensors is missing\nTraceback: many lines")

        stage = Stage(scripted(fail))
        events = await stage.turn("go")
        notice = events[-2]
        assert isinstance(notice, Notice)
        assert notice.severity == "error"
        assert notice.text == "The model failed: weights.safetensors is missing"
        assert events[-1] == TurnEnded(stop_reason="end_turn")
        assert stage.props.ran == ["echo a"]

    async def test_next_turn_after_a_failure_works(self) -> None:
        recording = Recording()

        def flaky(done: int, messages: Sequence[ModelMessage]) -> Sequence[Piece]:
            if len(recording.requests) == 1:
                raise OSError("gone")
            return ["back"]

        stage = Stage(scripted(flaky, recording))
        await stage.turn("one")
        events = await stage.turn("two")
        assert kinds(events) == ["user_message", "text", "usage", "turn_ended"]


async def test_usage_of_every_model_call() -> None:
    answers: Answers = [[call("echo", '{"text":"a"}')], ["done"]]
    stage = Stage(scripted(lambda done, m: answers[done], window=1000))
    events = await stage.turn("go")
    usages = [event for event in events if isinstance(event, UsageChanged)]
    assert len(usages) == 2
    for usage in usages:
        assert usage.context_size == 1000
        assert usage.input_tokens > 0
        assert usage.context_tokens == usage.input_tokens + usage.output_tokens


async def test_what_emit_raises_ends_the_turn() -> None:
    stage = Stage(playing([["hello"]]))

    def full(event: TurnEvent) -> None:
        if isinstance(event, UsageChanged):
            raise OSError("no one is listening")

    stage.on_event = full
    with pytest.raises((OSError, ExceptionGroup)) as caught:
        await stage.turn("go")
    error = caught.value
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    assert str(error) == "no one is listening"
