"""A model on an OpenAI-compatible server: what it is asked, what comes back, what goes wrong."""

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.exceptions import ModelAPIError, ModelContextWindowExceededError
from pydantic_ai.messages import (
    InstructionPart,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from punie.models.catalog import ModelUnavailable, resolve_model
from punie.models.endpoint import KEY_VARIABLE, Endpoint
from punie.models.load import close_models, open_model
from punie.models.options import EngineOptions
from punie.models.served import served_models
from punie.models.streaming import StreamingModel
from punie.models.traits import thinking_levels
from tests.openai_server import Answer, OpenAIServer, calls, says, serve_openai

pytestmark = pytest.mark.anyio

PROMPT: list[ModelMessage] = [ModelRequest(parts=[UserPromptPart("hello")])]
READ = ToolDefinition(
    name="read_file",
    description="Read a file.",
    parameters_json_schema={
        "type": "object",
        "properties": {"path": {"type": "string"}},
        "required": ["path"],
    },
)
PARAMETERS = ModelRequestParameters(
    function_tools=[READ], instruction_parts=[InstructionPart(content="You are Punie.")]
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    # Neither of these is this server's business.
    monkeypatch.setenv("OPENAI_API_KEY", "of another server")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with serve_openai(OpenAIServer()) as served:
        yield served


@pytest.fixture(autouse=True)
async def closed() -> AsyncIterator[None]:
    yield
    await close_models()


async def opened(server: OpenAIServer, name: str = "tiny", **more: Any) -> StreamingModel:
    options = EngineOptions(endpoint=Endpoint(server.url, **more))
    return await open_model(resolve_model(f"openai:{name}"), options=options)


async def answer(
    model: StreamingModel,
    messages: list[ModelMessage] = PROMPT,
    settings: ModelSettings | None = None,
) -> ModelResponse:
    return await model_request(
        model,
        messages,
        model_settings=settings,
        model_request_parameters=PARAMETERS,
    )


async def test_a_request_says_what_every_server_understands(server: OpenAIServer) -> None:
    response = await answer(
        await opened(server), settings=ModelSettings(max_tokens=99, temperature=0.5)
    )
    assert (response.text, response.finish_reason) == ("Hello there.", "stop")
    assert (response.usage.input_tokens, response.usage.output_tokens) == (20, 5)
    (request,) = server.requests
    assert request["messages"] == [
        {"role": "system", "content": "You are Punie."},
        {"role": "user", "content": "hello"},
    ]
    assert (request["model"], request["max_tokens"], request["temperature"]) == ("tiny", 99, 0.5)
    assert request["stream_options"] == {"include_usage": True}
    (tool,) = request["tools"]
    assert tool["function"]["parameters"] == READ.parameters_json_schema
    assert not {"strict", "max_completion_tokens", "reasoning_effort"} & {*request, *tool}
    assert server.keys == [None, "none"]


async def test_text_thoughts_and_calls_stream(server: OpenAIServer) -> None:
    call = calls("read_file", '{"pa', 'th": "a.py"}')
    thinking = [{"reasoning": "Let me "}, {"reasoning": "look."}, {"content": "I look."}]
    server.answers = [Answer([*thinking, *call.deltas], finish="tool_calls")]
    seen = []
    model = await opened(server)
    async with model_request_stream(model, PROMPT, model_request_parameters=PARAMETERS) as stream:
        async for event in stream:
            seen.append(type(getattr(event, "delta", getattr(event, "part", None))).__name__)
    response = stream.get()
    thought, text, made = response.parts
    assert isinstance(thought, ThinkingPart)
    assert isinstance(text, TextPart)
    assert isinstance(made, ToolCallPart)
    assert (thought.content, text.content) == ("Let me look.", "I look.")
    assert (made.tool_name, made.args_as_dict()) == ("read_file", {"path": "a.py"})
    assert response.finish_reason == "tool_call"
    assert seen.count("ToolCallPartDelta") >= 2  # arguments come in pieces, as they are written
    assert seen.count("ThinkingPartDelta") >= 1


async def test_the_history_is_sent_as_servers_take_it(server: OpenAIServer) -> None:
    history: list[ModelMessage] = [
        ModelRequest(parts=[UserPromptPart("read a.py")]),
        ModelResponse(
            parts=[ThinkingPart("Hm."), ToolCallPart("read_file", {"path": "a.py"}, "c1")]
        ),
        ModelRequest(parts=[ToolReturnPart("read_file", "x = 1", "c1")]),
    ]
    await answer(await opened(server), history)
    _, _, call, result = server.requests[0]["messages"]
    assert call["reasoning_content"] == "Hm."
    assert "Hm." not in (call["content"] or "")
    assert call["tool_calls"][0]["function"] == {
        "name": "read_file",
        "arguments": '{"path":"a.py"}',
    }
    assert (result["role"], result["tool_call_id"], result["content"]) == ("tool", "c1", "x = 1")


async def test_text_is_never_taken_for_a_control_token(server: OpenAIServer) -> None:
    model = await opened(server)
    await answer(model, [ModelRequest(parts=[UserPromptPart("what is <|im_start|> for?")])])
    asked = server.requests[0]["messages"][-1]["content"]
    assert "<|im_start|>" not in asked
    # What a model copies of it is what stands in the file again.
    server.answers = [says(asked)]
    assert (await answer(model)).text == "what is <|im_start|> for?"


async def test_requests_only_grow(server: OpenAIServer) -> None:
    model = await opened(server)
    first = await answer(model)
    follow_up: list[ModelMessage] = [
        *PROMPT,
        first,
        ModelRequest(parts=[UserPromptPart("what does <system> do?")]),
    ]
    await answer(model, follow_up)
    before, after = (request["messages"] for request in server.requests)
    assert after[: len(before)] == before
    assert after[len(before)]["content"] == "Hello there."


@pytest.mark.parametrize(
    ("entry", "setting", "window", "warns"),
    [
        ({}, None, None, True),
        ({"max_model_len": 40_960}, None, 40_960, False),
        ({"meta": {"n_ctx": 8_192}}, None, 8_192, False),
        ({"max_model_len": 40_960}, 16_384, 16_384, False),
        ({"max_model_len": "long"}, None, None, True),
    ],
)
async def test_the_window_is_what_the_server_or_the_setting_says(
    server: OpenAIServer,
    entry: dict[str, Any],
    setting: int | None,
    window: int | None,
    warns: bool,
) -> None:
    server.models = [{"id": "other"}, {"id": "tiny", **entry}]
    model = await opened(server, context=setting)
    assert model.profile.get("context_window") == window
    assert any("openai_context" in warning for warning in model.warnings) == warns


async def test_a_server_that_lists_nothing_is_used_all_the_same(server: OpenAIServer) -> None:
    server.models = None
    assert (await answer(await opened(server, "any/name"))).text == "Hello there."
    assert server.requests[0]["model"] == "any/name"


async def test_what_lists_no_models_is_no_list(server: OpenAIServer) -> None:
    endpoint = Endpoint(server.url)
    for listed in ([], [{"name": "x"}], ["x"], [{"id": 3}]):
        server.models = listed  # type: ignore[assignment]
        assert served_models(endpoint) == ()
    assert served_models(Endpoint(server.url + "/elsewhere")) is None


async def test_a_model_is_opened_once(server: OpenAIServer) -> None:
    assert await opened(server) is await opened(server)
    assert len(server.keys) == 1
    assert await opened(server, context=4096) is not await opened(server)


async def test_cancelling_closes_the_connection(server: OpenAIServer) -> None:
    server.answers = [Answer(endless=True)]
    model = await opened(server)
    with anyio.move_on_after(10) as scope:
        async with model_request_stream(model, PROMPT) as stream:
            async for _ in stream:
                scope.cancel()
    assert scope.cancelled_caught
    assert await anyio.to_thread.run_sync(server.gone.wait, 10)
    server.answers = [says("Still here.")]
    assert (await answer(model)).text == "Still here."


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (Answer(status=401, body={"error": {"message": "no"}}), "does not accept the key"),
        (
            Answer(status=404, body={"error": "no such model"}),
            "has no model tiny, or nothing there \\(404: no such model\\)",
        ),
        (Answer(status=400, body={"error": {"message": "bad\nrole"}}), "refuses .*400: bad role"),
        (Answer(status=400, body=b"<html>"), "refuses the request \\(400"),
        (Answer(status=422, body={"detail": "no tools"}), "422: no tools"),
        (
            Answer(status=307, body={}, headers={"Location": "http://192.0.2.1/"}),
            "points to another place",
        ),
        (says("half", finish=None), "broke off in the middle of the answer; try again"),
        (Answer(error={"message": "out of memory"}), "in the middle .*out of memory"),
    ],
)
async def test_what_a_server_does_wrong_is_one_sentence(
    server: OpenAIServer, broken: Answer, sentence: str
) -> None:
    model = await opened(server)
    server.answers = [broken]
    with pytest.raises(ModelAPIError, match=sentence) as caught:
        await answer(model)
    assert server.url in str(caught.value)
    assert str(caught.value).count("\n") == 0


async def test_a_prompt_that_is_too_long_is_known_as_that(server: OpenAIServer) -> None:
    model = await opened(server)
    reason = "This model's maximum context length is 4096 tokens"
    body = {"error": {"message": reason, "code": "context_length_exceeded"}}
    server.answers = [Answer(status=400, body=body)]
    with pytest.raises(ModelContextWindowExceededError, match="too long for tiny"):
        await answer(model)


async def test_a_server_that_goes_away_and_comes_back() -> None:
    with serve_openai(OpenAIServer()) as server:
        model = await opened(server)
    port = int(server.url.split(":")[2].split("/")[0])
    with pytest.raises(ModelAPIError, match="cannot be reached; start it, or correct openai_url"):
        await answer(model)
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        await opened(server, "other")
    with serve_openai(server, port):
        assert (await answer(model)).text == "Hello there."


async def test_the_key_comes_from_the_environment_or_a_file_of_your_own(
    server: OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.key = "s3cret-of-mine"
    with pytest.raises(ModelUnavailable, match=f"does not accept the key .*{KEY_VARIABLE}"):
        await opened(server)
    file = tmp_path / "key"
    with pytest.raises(ModelUnavailable, match=r"key cannot be read .*correct openai_key_file"):
        await opened(server, key_file=file)
    file.write_text("s3cret-of-mine\n")
    file.chmod(0o640)
    with pytest.raises(ModelUnavailable, match=f"run chmod 600 {file}"):
        await opened(server, key_file=file)
    file.chmod(0o600)
    model = await opened(server, key_file=file)
    assert (await answer(model)).text == "Hello there."
    assert "s3cret" not in repr(model) + repr(vars(model))
    file.write_text("two\nlines")
    with pytest.raises(ModelUnavailable, match="one line of plain text"):
        await opened(server, "b", key_file=file)
    monkeypatch.setenv(KEY_VARIABLE, "s3cret-of-mine")
    with pytest.raises(ModelUnavailable, match="has no model b; it has tiny"):
        await opened(server, "b", key_file=file)


async def test_without_the_package_or_an_address_one_sentence_says_so(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelUnavailable, match="needs a server; set openai_url"):
        await open_model(resolve_model("openai:tiny"))
    monkeypatch.delitem(sys.modules, "punie.models.remote", raising=False)
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ModelUnavailable, match=r"pip install 'punie\[openai\]'"):
        await opened(server)


async def test_a_reference_names_what_the_server_has() -> None:
    choice = resolve_model(" openai:org/Some-Model ")
    assert (choice.id, choice.title, choice.path) == ("openai:org/Some-Model", "Some-Model", None)
    assert thinking_levels(choice) == ()
    with pytest.raises(ModelUnavailable, match="names no model"):
        resolve_model("openai:")


@pytest.mark.parametrize(
    ("url", "local", "shows"),
    [
        ("http://127.0.0.1:8080/v1", True, False),
        ("http://[::1]:8080/v1", True, False),
        ("http://localhost/v1", True, False),
        ("http://10.0.0.5/v1", False, True),
        ("https://models.example.com/v1", False, False),
    ],
)
async def test_where_a_server_is(url: str, local: bool, shows: bool) -> None:
    endpoint = Endpoint(url)
    assert (endpoint.is_local, endpoint.shows_key) == (local, shows)
