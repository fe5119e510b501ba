import json
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from typing import Any, cast

import pytest
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, ToolCallPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from punie.agent.budget import Budget, context_window, fit_limits
from punie.agent.events import Compacted, ToolStarted, TurnEnded
from punie.agent.toolset import request_parameters
from punie.tools.base import ToolLimits
from tests.agent.stage import Piece, Recording, Stage, call, messages_from_events, scripted
from tests.agent.test_history import flat

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("window", "chars"),
    [(None, 16_000), (512, 400), (2048, 1536), (8192, 6144), (262_144, 16_000)],
)
def test_result_limit_follows_the_window(window: int | None, chars: int) -> None:
    limits = fit_limits(ToolLimits(command_seconds=7), window)
    assert limits == ToolLimits(result_chars=chars, command_seconds=7)
    assert fit_limits(ToolLimits(result_chars=300), window).result_chars == 300


def test_window_is_what_the_profile_says() -> None:
    assert context_window(scripted(lambda done, m: [], window=4096)) == 4096
    assert context_window(scripted(lambda done, m: [])) is None


def paired(messages: Sequence[ModelMessage]) -> bool:
    """Every call is answered in the very next message, and every result has its call."""
    for index, message in enumerate(messages):
        calls = [p.tool_call_id for p in message.parts if isinstance(p, ToolCallPart)]
        following = messages[index + 1].parts if index + 1 < len(messages) else []
        results = [getattr(p, "tool_call_id", None) for p in following]
        if calls and results[: len(calls)] != calls:
            return False
        if isinstance(message, ModelRequest) and any(
            p.part_kind == "tool-return" for p in message.parts
        ):
            before = messages[index - 1] if index else None
            if not isinstance(before, ModelResponse) or not before.tool_calls:
                return False
    return True


def asks_for_summary(messages: Sequence[ModelMessage]) -> bool:
    return "Sum it up" in flat(messages)[-1][1]


def answers_with_calls(done: int, messages: Sequence[ModelMessage]) -> list[Piece]:
    last = messages[-1].parts[-1]
    if asks_for_summary(messages):
        return ["Summed up."]
    if last.part_kind == "user-prompt":
        return [call("echo", json.dumps({"text": "x" * 600 + str(done)}))]
    return ["It says x. " * 10]


async def test_oldest_turns_go_in_big_steps_and_the_prefix_stays_between() -> None:
    recording = Recording()
    stage = Stage(scripted(answers_with_calls, recording, window=6_000))
    for number in range(30):
        events = await stage.turn(f"turn {number}")
        assert events[-1] == TurnEnded(stop_reason="end_turn")
    steps = [event for event in stage.events if isinstance(event, Compacted)]
    assert 1 <= len(steps) <= 8
    requests = [request for request in recording.requests if not asks_for_summary(request)]
    for request in requests:
        assert paired(request)
        assert sum(len(part) for item in flat(request) for part in item) / 3 < 6_000
    extended = sum(
        flat(later)[: len(flat(earlier))] == flat(earlier) for earlier, later in pairwise(requests)
    )
    assert extended == len(requests) - 1 - len(steps)
    # What is rebuilt for the next turn is what the last request was, and the answer to it.
    rebuilt = flat(messages_from_events(stage.events))
    assert rebuilt[: len(flat(requests[-1]))] == flat(requests[-1])


async def test_long_turn_sheds_its_own_oldest_exchanges_and_keeps_the_prompt() -> None:
    recording = Recording()

    def script(done: int, messages: Sequence[ModelMessage]) -> list[Piece]:
        if len(recording.requests) > 40:
            return ["done"]
        number = len(recording.requests)
        return [call("echo", json.dumps({"text": "y" * 500 + str(number)}))]

    stage = Stage(scripted(script, recording, window=6_000), max_requests=60)
    await stage.turn("earlier")
    recording.requests.clear()
    await stage.turn("the task")
    assert any(isinstance(event, Compacted) for event in stage.events)
    assert sum(isinstance(event, ToolStarted) for event in stage.events) > 60
    for request in recording.requests:
        if asks_for_summary(request):
            continue
        assert paired(request)
        assert ("user", "the task") in flat(request)
        assert sum(len(part) for item in flat(request) for part in item) / 3 < 6_000


class Counting(FunctionModel):
    """Counts one token per character, as a model of digits would."""

    counted = 0

    async def count_tokens(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> RequestUsage:
        self.counted += 1
        assert model_request_parameters.instruction_parts
        text = sum(len(part) for item in flat(messages) for part in item)
        return RequestUsage(input_tokens=text + 1000)


async def test_count_of_the_model_is_preferred_to_the_estimate() -> None:
    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        assert sum(len(part) for item in flat(messages) for part in item) < 5_000
        yield "z" * 500

    model = Counting(stream_function=stream, profile=cast("Any", {"context_window": 6_000}))
    stage = Stage(model)
    for number in range(25):
        events = await stage.turn(f"turn {number}")
        assert events[-1] == TurnEnded(stop_reason="end_turn")
    assert model.counted > 0
    steps = [event for event in stage.events if isinstance(event, Compacted)]
    # Half of the history stays, so a step comes only every few turns.
    assert 1 <= len(steps) <= 8


async def test_short_history_is_never_counted() -> None:
    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        yield "ok"

    model = Counting(stream_function=stream, profile=cast("Any", {"context_window": 100_000}))
    await Stage(model).turn("hi")
    assert model.counted == 0


async def test_nothing_to_drop_is_left_to_the_model() -> None:
    recording = Recording()
    stage = Stage(scripted(lambda done, m: ["ok"], recording, window=1_000))
    events = await stage.turn("q" * 50_000)
    assert [event.kind for event in events] == ["user_message", "text", "usage", "turn_ended"]
    assert flat(recording.requests[0]) == [("user", "q" * 50_000)]


async def test_without_a_window_nothing_is_dropped() -> None:
    budget = Budget(scripted(lambda done, m: []), request_parameters([], "i"), reserve=None)
    assert await budget.overfull([ModelResponse(parts=[])] * 10_000, None) is None
