"""The model's messages, rebuilt from events alone, are those that pydantic-ai really sent."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import anyio
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pydantic_ai.messages import (
    ModelMessage,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from punie.agent.cancel import CancelSignal
from punie.agent.events import (
    Compacted,
    Mode,
    TextDelta,
    ThoughtDelta,
    ToolFinished,
    ToolStarted,
    TurnEnded,
    TurnEvent,
)
from punie.tools.presentation import Presentation
from tests.agent.stage import (
    Piece,
    Recording,
    Stage,
    call,
    messages_from_events,
    prompt,
    scripted,
    thought,
)

# Shrinking reruns whole conversations; the example as found is small enough.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
Flat = list[tuple[str, ...]]
PICTURE = Presentation(title="t", kind="other")


def flat(messages: Sequence[ModelMessage]) -> Flat:
    """All that a chat template can show of the messages, with neighbouring texts joined."""
    found: Flat = []
    for message in messages:
        for part in message.parts:
            match part:
                case UserPromptPart():
                    item: tuple[str, ...] = ("user", str(part.content))
                case TextPart():
                    item = ("text", part.content)
                case ThinkingPart():
                    item = ("thought", part.content)
                case ToolCallPart():
                    arguments = json.dumps(part.args_as_dict())
                    item = ("call", part.tool_call_id, part.tool_name, arguments)
                case ToolReturnPart():
                    item = (
                        "result",
                        part.tool_call_id,
                        part.tool_name,
                        part.model_response_str(),
                    )
                case _:
                    raise AssertionError(f"unexpected part {part!r}")
            if found and item[0] in ("text", "thought") and found[-1][0] == item[0]:
                item = (item[0], found.pop()[1] + item[1])
            found.append(item)
    return [item for item in found if item[1:] != ("",)]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
CALLS = st.one_of(
    st.tuples(st.just("echo"), TEXTS.map(lambda text: json.dumps({"text": text}))),
    st.tuples(st.just("note"), st.sampled_from(['{"path": "n"}', '{"path": "missing"}'])),
    st.tuples(st.sampled_from(["echo", "fly"]), st.sampled_from(["{}", '{"a": [1.5, null]}'])),
    st.tuples(st.just("echo"), st.sampled_from(['{"text": "cut', "", "[1]", '{"text": "boom"}'])),
)


@dataclass(frozen=True)
class Answer:
    thought: str
    text: str
    calls: tuple[tuple[str, str], ...]
    tail: str

    def pieces(self, number: int, *, last: bool) -> list[Piece | float]:
        pieces: list[Piece | float] = [thought(self.thought)] if self.thought else []
        pieces += list(self.text)
        if not last:
            for index, (tool, arguments) in enumerate(self.calls):
                pieces.append(call(tool, arguments, f"call_{index}", index))
        pieces += list(self.tail)
        return pieces


ANSWERS = st.builds(Answer, TEXTS, TEXTS, st.lists(CALLS, min_size=1, max_size=3).map(tuple), TEXTS)


@dataclass(frozen=True)
class Turn:
    answers: tuple[Answer, ...]
    mode: Mode
    reply: str | None
    cancel_at: int | None


TURNS = st.builds(
    Turn,
    st.lists(ANSWERS, min_size=1, max_size=4).map(tuple),
    st.sampled_from(["ask", "accept_edits", "plan", "auto"]),
    st.sampled_from(["allow_once", "reject_once", None]),
    st.one_of(st.none(), st.none(), st.integers(1, 12)),
)


@given(turns=st.lists(TURNS, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None, phases=PHASES)
def test_requests_are_rebuilt_from_events_and_each_extends_the_one_before(
    turns: list[Turn],
) -> None:
    async def main() -> None:
        recording = Recording()
        at_request: list[int] = []
        answers: list[tuple[Answer, bool]] = []

        def script(done: int, messages: Sequence[ModelMessage]) -> list[Piece | float]:
            at_request.append(len(stage.events))
            answer, last = answers.pop(0)
            return answer.pieces(done, last=last)

        stage = Stage(scripted(script, recording))
        for turn in turns:
            answers[:] = [(answer, answer is turn.answers[-1]) for answer in turn.answers]
            stage.mode, stage.answer = turn.mode, turn.reply
            cancel, start = CancelSignal(), len(stage.events)

            def maybe_cancel(
                event: TurnEvent,
                turn: Turn = turn,
                start: int = start,
                cancel: CancelSignal = cancel,
            ) -> None:
                if turn.cancel_at is not None and len(stage.events) - start >= turn.cancel_at:
                    cancel.cancel()

            stage.on_event = maybe_cancel
            await stage.turn("prompt", cancel)
        sent = [flat(request) for request in recording.requests]
        rebuilt = [flat(messages_from_events(stage.events[:count])) for count in at_request]
        assert rebuilt == sent
        for earlier, later in pairwise(sent):
            assert later[: len(earlier)] == earlier

    anyio.run(main)


def test_killed_turn_gets_results_for_its_open_calls() -> None:
    events: list[TurnEvent] = [
        prompt("one"),
        TextDelta(message_id="m", text="look"),
        ToolStarted(
            call_id="a", message_id="m", tool="echo", arguments={"text": "a"}, presentation=PICTURE
        ),
        ToolStarted(
            call_id="b", message_id="m", tool="echo", arguments={"text": "b"}, presentation=PICTURE
        ),
        ToolFinished(call_id="b", status="completed", result="b", presentation=PICTURE),
    ]
    # Killed here; the next turn simply follows.
    events += [prompt("two"), TextDelta(message_id="n", text="ok")]
    assert flat(messages_from_events(events)) == [
        ("user", "one"),
        ("text", "look"),
        ("call", "a", "echo", '{"text": "a"}'),
        ("call", "b", "echo", '{"text": "b"}'),
        ("result", "a", "echo", "error: cancelled"),
        ("result", "b", "echo", "b"),
        ("user", "two"),
        ("text", "ok"),
    ]


def test_thoughts_and_texts_of_one_response_keep_their_order() -> None:
    events: list[TurnEvent] = [
        prompt("one"),
        ThoughtDelta(message_id="m", text="h"),
        ThoughtDelta(message_id="m", text="m"),
        TextDelta(message_id="m", text="a"),
        ThoughtDelta(message_id="m", text="wait"),
        TextDelta(message_id="m", text="b"),
        TextDelta(message_id="m2", text="c"),
        TurnEnded(stop_reason="end_turn"),
    ]
    messages = messages_from_events(events)
    assert [len(message.parts) for message in messages] == [1, 4, 1]
    assert flat(messages[1:2]) == [
        ("thought", "hm"),
        ("text", "a"),
        ("thought", "wait"),
        ("text", "b"),
    ]


def test_result_of_an_unknown_call_is_passed_over() -> None:
    events: list[TurnEvent] = [
        ToolFinished(call_id="x", status="completed", result="b", presentation=PICTURE),
        prompt("one"),
    ]
    assert flat(messages_from_events(events)) == [("user", "one")]


@pytest.mark.parametrize(("dropped", "left"), [(0, 6), (2, 4), (4, 2), (5, 1), (99, 1)])
def test_compaction_drops_the_oldest_but_never_the_current_prompt(dropped: int, left: int) -> None:
    events: list[TurnEvent] = []
    for number in (1, 2):
        events += [
            prompt(f"p{number}"),
            TextDelta(message_id=f"m{number}", text=f"a{number}"),
        ]
    events += [
        prompt("p3"),
        TextDelta(message_id="m3", text="a3"),
        Compacted(dropped=dropped),
    ]
    messages = flat(messages_from_events(events))
    assert len(messages) == left
    assert ("user", "p3") in messages


def test_turns_of_commands_are_no_part_of_the_history() -> None:
    events: list[TurnEvent] = [
        prompt("one"),
        TextDelta(message_id="m", text="first"),
        TurnEnded(stop_reason="end_turn"),
    ]
    before = flat(messages_from_events(events))
    command = prompt("/undo").model_copy(update={"command": "undo"})
    events += [
        command,
        ToolStarted(
            call_id="a", message_id="u", tool="undo", arguments={"calls": []}, presentation=PICTURE
        ),
        ToolFinished(call_id="a", status="completed", result="undone", presentation=PICTURE),
        TextDelta(message_id="v", text="It is undone."),
        TurnEnded(stop_reason="end_turn"),
    ]
    assert flat(messages_from_events(events)) == before
    events += [prompt("two"), TextDelta(message_id="n", text="second")]
    assert flat(messages_from_events(events)) == [*before, ("user", "two"), ("text", "second")]


def test_a_killed_command_hides_nothing_of_what_follows() -> None:
    command = prompt("/undo").model_copy(update={"command": "undo"})
    events: list[TurnEvent] = [prompt("one"), command, TextDelta(message_id="v", text="It")]
    events += [prompt("two"), TextDelta(message_id="n", text="second")]
    assert flat(messages_from_events(events)) == [
        ("user", "one"),
        ("user", "two"),
        ("text", "second"),
    ]
