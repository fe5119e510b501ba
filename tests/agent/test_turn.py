import pytest

from punie.agent.events import TextDelta, TurnEnded
from tests.agent.stage import Stage, call, scripted

pytestmark = pytest.mark.anyio


def kinds(events):
    return [event.kind for event in events]


async def test_call_then_answer() -> None:
    stage = Stage(
        scripted(lambda n, m: [["Looking. ", call("echo", '{"text":"hi"}')], ["It says hi."]][n])
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
    assert events[-1] == TurnEnded(stop_reason="end_turn")
    assert isinstance(events[-3], TextDelta) and events[-3].text == "It says hi."
