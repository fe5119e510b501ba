import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters

from punie.models.catalog import ModelUnavailable, resolve_model
from punie.models.load import open_model
from punie.models.scripted import SCRIPT_OVER, ScriptedModel

pytestmark = pytest.mark.anyio


async def scripted(tmp_path: Path, responses: list[Any], **more: Any) -> Model[Any]:
    file = tmp_path / "script.json"
    file.write_text(json.dumps({"responses": responses, **more}))
    model = await open_model(resolve_model(f"scripted:{file}"))
    assert isinstance(model, ScriptedModel)
    return model


async def test_arguments_come_in_chunks(tmp_path: Path) -> None:
    call = {"tool": "add", "arguments": {"a": "x" * 50, "b": [1, None]}}
    model = await scripted(tmp_path, [{"calls": [call, call], "argument_chunks": 5}])
    async with model.request_stream([ask("?")], None, ModelRequestParameters()) as stream:
        events = [event async for event in stream]
    starts = [event for event in events if isinstance(event, PartStartEvent)]
    deltas = [event for event in events if isinstance(event, PartDeltaEvent)]
    assert [event.index for event in starts] == [0, 1]
    assert len(deltas) == 10
    for part in stream.get().parts:
        assert isinstance(part, ToolCallPart)
        assert part.args_as_dict() == call["arguments"]


def ask(text: str) -> ModelMessage:
    return ModelRequest(parts=[UserPromptPart(text)])


async def test_an_agent_follows_the_script(tmp_path: Path) -> None:
    model = await scripted(
        tmp_path,
        [
            {"thought": "Hm.", "calls": [{"tool": "add", "arguments": {"a": 2, "b": 3}}]},
            {"text": "It is five."},
        ],
    )
    agent = Agent(model)

    @agent.tool_plain
    def add(a: int, b: int) -> int:
        return a + b

    result = await agent.run("2+3?")
    assert result.output == "It is five."
    first = result.all_messages()[1]
    assert isinstance(first, ModelResponse)
    assert first.parts[0] == ThinkingPart("Hm.")
    assert isinstance(first.parts[1], ToolCallPart)
    assert first.finish_reason == "tool_call"


async def test_the_history_chooses_the_response(tmp_path: Path) -> None:
    model = await scripted(tmp_path, [{"text": "one"}, {"text": "two"}])
    history: list[ModelMessage] = []
    said: list[str] = []
    for _ in range(4):
        history.append(ask("go on"))
        response = await model.request(history, None, ModelRequestParameters())
        history.append(response)
        said += [part.content for part in response.parts if isinstance(part, TextPart)]
    assert said == ["one", "two", SCRIPT_OVER, SCRIPT_OVER]


async def test_repeat_starts_over(tmp_path: Path) -> None:
    model = await scripted(tmp_path, [{"text": "one"}, {"text": "two"}], repeat=True)
    history = [ask("a"), ModelResponse(parts=[]), ask("b"), ModelResponse(parts=[]), ask("c")]
    response = await model.request(history, None, ModelRequestParameters())
    assert response.parts == [TextPart("one")]


async def test_text_streams_in_chunks_and_can_be_cancelled(tmp_path: Path) -> None:
    model = await scripted(tmp_path, [{"text": "abcdefghij", "chunks": 5, "delay": 0.001}])
    pieces = 0
    async with model.request_stream([ask("x")], None, ModelRequestParameters()) as stream:
        async for event in stream:
            pieces += isinstance(event, (PartStartEvent, PartDeltaEvent))
    assert pieces == 5
    assert stream.get().parts == [TextPart("abcdefghij")]
    async with model.request_stream([ask("x")], None, ModelRequestParameters()) as stream:
        async for _ in stream:
            await stream.cancel()
    assert stream.get().state == "interrupted"
    assert stream.get().parts == [TextPart("ab")]


async def test_a_long_delay_ends_with_its_scope(tmp_path: Path) -> None:
    model = await scripted(tmp_path, [{"text": "x", "delay": 3600}])
    with anyio.move_on_after(0.05) as scope:
        await model.request([ask("x")], None, ModelRequestParameters())
    assert scope.cancelled_caught


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "the file: Invalid JSON"),
        ('{"responses": [{"txt": 1}]}', r"responses\.0\.txt"),
        ('{"responses": [{"chunks": 0}]}', r"responses\.0\.chunks"),
        ("{}", "responses: Field required"),
    ],
)
async def test_bad_scripts_are_one_sentence(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(content)
    with pytest.raises(ModelUnavailable, match=message) as caught:
        await open_model(resolve_model(f"scripted:{file}"))
    assert "\n" not in str(caught.value)
