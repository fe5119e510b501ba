"""A model that repeats itself is stopped; texts that repeat themselves for good are not."""

import base64
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_ai.models import StreamedResponse

from punie.agent import runaway
from punie.agent.events import (
    Notice,
    ResponseCut,
    TextDelta,
    ToolFinished,
    ToolStarted,
    ToolUnwritten,
    TurnEnded,
)
from punie.agent.runaway import BLOCK, LEAST_TIMES, MOST_OF_SIGNS, MOST_OF_WORDS, RepetitionWatch
from punie.models.scripted import Script, ScriptedModel, ScriptedResponse, ScriptedStream
from tests.agent.stage import Piece, Recording, Stage, messages_from_events, scripted, thought
from tests.agent.test_loop_guard import contents
from tests.agent.test_writing import written

PROJECT = Path(__file__).parents[2]
SENTENCE = "I should look at the file again to be sure of what it says. "


def fed(text: str, size: int = 7) -> tuple[int, runaway.Repetition] | None:
    """Feed the text in pieces; return where it was cut, and why."""
    watch = RepetitionWatch()
    for start in range(0, len(text), size):
        found = watch.feed(text[start : start + size])
        if found is not None:
            return start + size, found
    return None


def drawings() -> dict[str, str]:
    """Return texts that repeat themselves as they should."""
    row = "|" + " " * 58 + "|\n"
    zeros = "    [" + ", ".join(["0"] * 32) + "],\n"
    return {
        "ruler": "=" * 400,
        "table": "| name | value |\n| --- | --- |\n"
        + "".join(f"| setting {n} | not set |\n" for n in range(300)),
        "table of the same": "| a | b |\n| --- | --- |\n" + "| n/a | n/a |\n" * 80,
        "box": "+" + "-" * 58 + "+\n" + row * 40 + "+" + "-" * 58 + "+\n",
        "board": ("# . " * 16 + "\n" + ". # " * 16 + "\n") * 8,
        "matrix": "grid = [\n" + zeros * 32 + "]\n",
        "nulls": json.dumps([None] * 400, indent=2),
        "objects": json.dumps(
            [{"id": n, "name": "", "tags": [], "active": False} for n in range(200)], indent=2
        ),
        "zeros": base64.b64encode(bytes(2000)).decode(),
        "hex dump": "".join(f"{n * 16:08x}  {'00 ' * 16}|{'.' * 16}|\n" for n in range(120)),
        "cases": "".join(
            f"def test_{n}() -> None:\n    result = call()\n    assert result is None\n\n\n"
            for n in range(120)
        ),
        "closing": "    }\n" * 60 + "</div>\n" * 80,
        "old and new": json.dumps({"edits": [{"old_text": LONG, "new_text": LONG + "\nend"}]}),
        "progress": "".join(f"Downloading {n}% {'#' * (n // 2)}\n" for n in range(100)),
        "song": ("Row, row, row your boat,\nGently down the stream.\n" * 8),
    }


LONG = (PROJECT / "punie" / "agent" / "journal.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", drawings())
def test_texts_that_repeat_for_good_pass(name: str) -> None:
    assert fed(drawings()[name]) is None


def own_files() -> Iterator[Path]:
    for pattern in ("punie/agent/**/*.py", "tests/agent/**/*.py", "docs/*", "*.lock", "*.toml"):
        yield from (path for path in PROJECT.glob(pattern) if path.is_file())


def test_all_that_is_written_here_passes() -> None:
    for path in own_files():
        text = path.read_text(encoding="utf-8")
        assert fed(text, 97) is None, path
        assert fed(json.dumps({"path": path.name, "content": text}), 97) is None, path


@pytest.mark.parametrize(
    ("text", "most"),
    [
        pytest.param(SENTENCE * 200, MOST_OF_WORDS, id="sentence"),
        pytest.param((SENTENCE + "\n") * 200, MOST_OF_WORDS, id="line"),
        pytest.param("the " * 3000, MOST_OF_SIGNS, id="word"),
        pytest.param("0, " * 3000, MOST_OF_SIGNS, id="digits"),
        pytest.param("\n" * 9000, MOST_OF_SIGNS, id="empty lines"),
        pytest.param("a" * 9000, MOST_OF_SIGNS, id="letter"),
        pytest.param(LONG[:1500] * 8, 1500 * LEAST_TIMES, id="page"),
        pytest.param(
            json.dumps({"content": "    self.assertEqual(first, second)\n" * 300}),
            MOST_OF_WORDS,
            id="in an argument",
        ),
        pytest.param(
            "".join(
                f"{'Wait, is that right?' if n % 3 else 'Let me check that again.'}\n"
                f"{'Actually, it may be wrong.' if n * n % 7 < 3 else 'So the answer is two.'}\n"
                for n in range(300)
            ),
            MOST_OF_WORDS,
            id="lines in turn",
        ),
    ],
)
@pytest.mark.parametrize("before", ["", LONG])
def test_what_repeats_is_found_soon(text: str, most: int, before: str) -> None:
    found = fed(before + text)
    assert found is not None
    where, repetition = found
    assert len(before) + most <= where <= len(before) + most + 3 * BLOCK
    assert most / 2 <= repetition.length <= where - len(before) + BLOCK
    assert len(repetition.sample) <= 60
    assert "\n" not in repetition.sample


@settings(max_examples=60, deadline=None)
@given(
    st.text(max_size=300),
    st.text(min_size=1, max_size=300),
    st.integers(1, 40),
    st.lists(st.integers(20, BLOCK), min_size=1, max_size=5),
)
def test_any_piece_over_and_over_is_found_however_it_comes(
    before: str, piece: str, tail: int, sizes: list[int]
) -> None:
    text = before + piece * (MOST_OF_SIGNS // len(piece) + tail) + piece * LEAST_TIMES
    text += piece * (2 * BLOCK // len(piece) + 1)
    places = set()
    for size in sizes:
        found = fed(text, size)
        assert found is not None
        places.add(found[0] // BLOCK)
    assert len(places) == 1


@settings(max_examples=80, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=40), max_size=120))
def test_lines_that_are_new_pass(lines: list[str]) -> None:
    text = "\n".join(f"{number}: {line}" for number, line in enumerate(lines))
    assert fed(text * 3) is None


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab", max_size=3000), st.integers(0, 4))
def test_what_is_found_of_a_tail_is_there(text: str, times: int) -> None:
    tail = (text + text[-50:] * times * 20)[-8000:]
    for length, period in runaway._periods(tail[::-1]):
        end = tail[-length:]
        assert end[period:] == end[:-period]
        assert length >= LEAST_TIMES * period


pytestmark = pytest.mark.anyio


def playing(*answers: Sequence[Piece | float], recording: Recording | None = None) -> Stage:
    return Stage(scripted(lambda done, messages: answers[done], recording))


def pieces(text: str) -> list[Piece]:
    return [text[start : start + 20] for start in range(0, len(text), 20)]


def text_of(stage: Stage) -> str:
    return "".join(event.text for event in stage.events if isinstance(event, TextDelta))


def notices(stage: Stage) -> list[str]:
    return [event.text for event in stage.events if isinstance(event, Notice)]


async def test_a_text_is_cut_and_the_model_tries_once_more() -> None:
    recording = Recording()
    looping = ["Let me see. ", *pieces(SENTENCE * 400)]
    stage = playing(looping, ["It says hello."], recording=recording)
    events = await stage.turn("go")
    assert events[-1] == TurnEnded(stop_reason="end_turn")
    shown = text_of(stage)
    assert len(shown) < MOST_OF_WORDS + 4 * BLOCK  # of 24,000
    assert shown.startswith("Let me see. I should look")
    assert shown.endswith("It says hello.")
    (notice,) = notices(stage)
    assert "tries once more" in notice
    first, again = recording.requests
    answer, told = again[len(first) :]
    assert len(str(answer.parts[0].content)) < BLOCK  # type: ignore[union-attr]
    assert "over and over" in str(told.parts[0].content)  # type: ignore[union-attr]
    opened = messages_from_events(stage.events)
    assert contents(opened[: len(again)]) == contents(again)


async def test_the_second_time_ends_the_turn_and_the_next_turn_may_go_on() -> None:
    recording = Recording()
    looping = pieces(SENTENCE * 400)
    stage = playing(looping, looping, ["Hello."], recording=recording)
    events = await stage.turn("go")
    assert events[-1] == TurnEnded(stop_reason="end_turn")
    assert len(recording.requests) == 2
    assert "again" in notices(stage)[-1]
    await stage.turn("hello?")
    assert text_of(stage).endswith("Hello.")
    opened = messages_from_events(stage.events)
    asked = recording.requests[-1]
    assert contents(opened[: len(asked)]) == contents(asked)


async def test_a_thought_is_cut_too() -> None:
    stage = playing([thought(SENTENCE) for _ in range(400)], ["Enough."])
    events = await stage.turn("go")
    cut = [event for event in events if isinstance(event, ResponseCut)]
    assert [bool(event.reminder) for event in cut] == [True]
    assert text_of(stage) == "Enough."


async def test_a_call_is_taken_back_while_it_is_written() -> None:
    arguments = json.dumps({"text": "x = compute(first, second)\n" * 400})
    stage = playing(["Writing. ", *written("echo", arguments, chunks=40)], ["ok", "ay"])
    events = await stage.turn("go")
    # Nothing but its text is left of the response, so the script goes on.
    assert not [event for event in events if isinstance(event, ToolStarted | ToolFinished)]
    assert [event for event in events if isinstance(event, ToolUnwritten)]
    (cut,) = [event for event in events if isinstance(event, ResponseCut)]
    assert "Your echo call was cut" in cut.reminder
    assert cut.dropped == 0
    assert stage.props.ran == []
    assert text_of(stage) == "Writing. okay"


async def test_calls_before_the_cut_do_not_run() -> None:
    whole = written("echo", '{"text": "a"}')
    stage = playing([*whole, *pieces(SENTENCE * 400)], ["ok"])
    events = await stage.turn("go")
    assert stage.props.ran == []
    (ended,) = [event for event in events if isinstance(event, ToolFinished)]
    assert ended.result == "error: the answer was cut before this call could run"
    assert events[-1] == TurnEnded(stop_reason="end_turn")


async def test_the_model_stops_writing_and_its_cost_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed: list[StreamedResponse] = []

    async def close(self: ScriptedStream) -> None:
        closed.append(self)

    monkeypatch.setattr(ScriptedStream, "close_stream", close)
    script = Script(
        responses=(
            ScriptedResponse(text=SENTENCE * 400, chunks=500),
            ScriptedResponse(text="Enough."),
        )
    )
    stage = playing()
    stage.model = ScriptedModel(script)  # type: ignore[assignment]
    events = await stage.turn("say something")
    assert len(closed) == 1
    assert len(text_of(stage)) < MOST_OF_WORDS + 4 * BLOCK
    assert sum(event.kind == "usage" for event in events) == 2
