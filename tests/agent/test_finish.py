from typing import Any, cast

import pytest
from pydantic_ai.exceptions import ContentFilterError
from pydantic_ai.messages import FinishReason

from punie.agent.events import Notice, StopReason, ToolFinished, TurnEnded
from tests.agent.finishing import Finishing
from tests.agent.stage import Stage, call, scripted

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("length", "max_tokens"),
        ("content_filter", "refusal"),
        ("stop", "end_turn"),
        ("error", "end_turn"),
    ],
)
async def test_stop_reason_is_true(reason: FinishReason, stop: StopReason) -> None:
    stage = Stage(cast("Any", Finishing(scripted(lambda done, m: ["some text"]), reason)))
    events = await stage.turn("go")
    assert events[-1] == TurnEnded(stop_reason=stop)
    assert any(isinstance(event, Notice) for event in events) == (reason == "error")


async def test_call_cut_off_by_the_limit_never_runs() -> None:
    cut = scripted(
        lambda done, m: [
            call("echo", '{"text":"whole"}', "a", 0),
            call("note", '{"path":"no', "b", 1),
        ]
    )
    stage = Stage(cast("Any", Finishing(cut, "length")))
    events = await stage.turn("go")
    assert stage.props.ran == []
    done = [event for event in events if isinstance(event, ToolFinished)]
    assert [(event.call_id, event.status) for event in done] == [("a", "failed"), ("b", "failed")]
    assert "token limit" in done[0].result
    assert events[-1] == TurnEnded(stop_reason="max_tokens")


async def test_content_filter_error_is_a_refusal() -> None:
    def refuse(done: int, messages: Any) -> list[str]:
        raise ContentFilterError("filtered")

    stage = Stage(scripted(refuse))
    events = await stage.turn("go")
    assert events[-1] == TurnEnded(stop_reason="refusal")
