"""The other side of a comparison: what a server is asked, what is heard, what is said of faults."""

import itertools
import json
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.messages import (
    InstructionPart,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition

from punie.models.endpoint import KEY_VARIABLE, Endpoint
from punie.models.mlx.bench.against import cancel, prefill, reuse
from punie.models.mlx.bench.against.client import Client, Peer, open_http
from punie.models.mlx.bench.against.mlx_lm_server import serving
from punie.models.mlx.bench.against.target import Address, MlxLm, Pair, pair_with, reach
from punie.models.mlx.bench.rows import BenchError, Row, Skipped
from punie.models.mlx.bench.sides import (
    Counts,
    Ours,
    Question,
    cut_off_reading,
    cut_off_writing,
    listen,
)
from punie.models.mlx.bench.suite import Subject
from punie.models.mlx.chat_format import ChatFormat
from punie.models.mlx.model import MlxModel
from tests.models.families import FamilyDirectories
from tests.openai_server import Answer, OpenAIServer, calls, says, serve_openai

pytestmark = pytest.mark.anyio

TOOLS = ModelRequestParameters(
    function_tools=[ToolDefinition(name="read_file", description="Reads.")],
    instruction_parts=[InstructionPart(content="You are brief.")],
)
HELLO: list[ModelMessage] = [ModelRequest(parts=[UserPromptPart("Hello")])]


@asynccontextmanager
async def client_of(url: str, *, quiet: bool = False) -> AsyncGenerator[Client]:
    endpoint = Endpoint(url, named_by="the address after --against")
    async with open_http(endpoint) as http:
        peer = Peer("the server", endpoint, "tiny", "/v1/models", key="secret")
        yield Client(http, peer, quiet=quiet)


async def test_a_conversation_goes_out_whole() -> None:
    messages = [
        *HELLO,
        ModelResponse(parts=[ToolCallPart("read_file", {"path": "a.py"}, "x")]),
        ModelRequest(parts=[ToolReturnPart("read_file", "a = 1", "x")]),
    ]
    with serve_openai(OpenAIServer()) as server:
        async with client_of(server.url, quiet=True) as client:
            await listen(client, Question(messages, 7, TOOLS))
    asked = server.requests[0]
    assert [message["role"] for message in asked["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
    ]
    call = asked["messages"][2]["tool_calls"][0]
    assert json.loads(call["function"]["arguments"]) == {"path": "a.py"}
    assert asked["messages"][3]["tool_call_id"] == call["id"]
    assert [tool["function"]["name"] for tool in asked["tools"]] == ["read_file"]
    assert (asked["model"], asked["max_tokens"], asked["temperature"]) == ("tiny", 7, 0)
    assert asked["chat_template_kwargs"] == {"enable_thinking": False}
    assert server.keys == ["secret"]


async def test_an_answer_is_heard_piece_by_piece() -> None:
    usage = {
        "prompt_tokens": 20,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 12},
    }
    thoughtful = Answer(
        [{"reasoning_content": "Hm."}, {"content": "Well"}, {"content": " then"}], usage=usage
    )
    with serve_openai(OpenAIServer([thoughtful, calls("read_file", '{"path":', '"a.py"}')])) as one:
        async with client_of(one.url) as client:
            heard = await listen(client, Question(HELLO, 8))
            called = await listen(client, Question(HELLO, 8, TOOLS))
    assert heard.text == "Well then"
    assert [piece.kind for _, piece in heard.pieces] == ["thought", "text", "text"]
    assert heard.counts == Counts(20, 12, 5)
    assert heard.counts.read == 8
    assert 0 < heard.first <= heard.pieces[-1][0] <= heard.seconds
    assert called.calls == (("read_file", {"path": "a.py"}),)
    assert called.counts == Counts(20, None, 5)


async def test_a_server_may_report_no_tokens_and_cut_calls_off() -> None:
    answers = [says("Hello", usage=None), calls("read_file", '{"pa')]
    with serve_openai(OpenAIServer(answers)) as server:
        async with client_of(server.url) as client:
            assert (await listen(client, Question(HELLO, 8))).counts is None
            assert (await listen(client, Question(HELLO, 8))).calls == ()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer([{"content": "He"}], finish=None), "broke off in the middle of an answer"),
        (says("He", error={"message": "out of memory"}), "of an answer (out of memory)"),
        (Answer(status=400, body={"error": "no tools here"}), "refuses a request with tools (400:"),
        (
            Answer(status=404, body={"detail": "no"}),
            "has no model tiny, or nothing there (404: no)",
        ),
        (Answer(status=503, body=b"later"), "failed (503: later); see its log"),
        (Answer(status=401, body={}), "does not accept the key (401); set PUNIE_OPENAI_KEY or"),
        (Answer(status=307, body={}), "points to another place (307); name that instead"),
    ],
)
async def test_faults_of_a_server_are_said_in_a_sentence(answer: Answer, said: str) -> None:
    with serve_openai(OpenAIServer([answer])) as server:
        async with client_of(server.url) as client:
            with pytest.raises(BenchError) as caught:
                await listen(client, Question(HELLO, 8, TOOLS))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_what_is_not_compatible() -> None:
    with serve_openai(OpenAIServer([Answer([{"content": 3}])])) as server:
        async with client_of(server.url) as client:
            with pytest.raises(BenchError, match="does not answer as an OpenAI-compatible one"):
                await listen(client, Question(HELLO, 8))


@pytest.mark.parametrize(
    ("models", "name", "said"),
    [
        ([{"id": "one"}, {"id": "two"}], None, "has one, two; name one, as http"),
        ([{"id": "one"}], "two", "has no model two; it has one"),
    ],
)
async def test_the_model_has_to_be_known(models: Any, name: str | None, said: str) -> None:
    with (
        serve_openai(OpenAIServer(models=models)) as server,
        pytest.raises(BenchError) as caught,
    ):
        await reach(Address(Endpoint(server.url), name))
    assert said in str(caught.value)


async def test_the_only_model_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "secret")
    with serve_openai(OpenAIServer(key="secret")) as server:
        found = await reach(Address(Endpoint(server.url), None))
    assert isinstance(found, Address)
    assert found.model == "tiny"
    assert server.requests[0]["model"] == "tiny"


@pytest.mark.parametrize("models", [None, []])
async def test_a_server_that_does_not_tell_is_asked_without_a_name(models: Any) -> None:
    with serve_openai(OpenAIServer(models=models)) as server:
        found = await reach(Address(Endpoint(server.url), None))
    assert isinstance(found, Address)
    assert found.model is None
    assert "model" not in server.requests[0]


async def test_nobody_is_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        with pytest.raises(BenchError, match="cannot be reached; start it, or correct --against"):
            await reach(Address(Endpoint(url, named_by="--against"), None))


async def test_both_sides_say_the_same(
    model: MlxModel, family_directories: FamilyDirectories
) -> None:
    """The server that is started here reads the same tokens and says what it found in its cache."""
    directory = family_directories.own("qwen3", "json")
    chat = ChatFormat.load(directory)
    async with serving(directory, {}) as peer, open_http(peer.endpoint) as http:
        client = Client(http, peer, quiet=False)
        first = await listen(client, Question(HELLO, 8))
        again = await listen(client, Question([*HELLO, *HELLO], 8))
        assert await client.round_trip() > 0
    assert first.counts is not None
    assert again.counts is not None
    assert first.counts.prompt == len(chat.encode([{"role": "user", "content": "Hello"}]).tokens)
    assert first.counts.output <= 8
    ours = await listen(Ours(model), Question(HELLO, 8))
    assert ours.counts is not None
    assert ours.counts.output <= 8
    assert ours.text or ours.calls or ours.pieces


async def run_tool(name: str, arguments: Mapping[str, Any]) -> str:
    return "nothing"


def subject_of(model: MlxModel, directory: Path, parameters: ModelRequestParameters) -> Subject:
    return Subject(
        model,
        directory,
        parameters,
        project=lambda _: nullcontext(run_tool),
        say=lambda _: None,
        bundled=False,
        fast_blas=True,
        fits_twice=False,
    )


@asynccontextmanager
async def beside(server: OpenAIServer, model: MlxModel) -> AsyncGenerator[Pair]:
    """A model of random weights and a server."""
    subject = subject_of(model, Path(), TOOLS)
    with serve_openai(server):
        async with pair_with(Address(Endpoint(server.url), "tiny"), subject) as pair:
            yield pair


async def test_weights_that_do_not_fit_twice(model: MlxModel, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="no memory for the model's weights twice"):
        async with pair_with(MlxLm(), subject_of(model, tmp_path, TOOLS)):
            pass


class ShortWindow(OpenAIServer):
    """A server that reads less than our model, and knows a part of each prompt."""

    def next_answer(self) -> Answer:
        if len(self.requests[-1]["messages"][-1]["content"]) > 1_000:
            return Answer(status=400, body={"error": "the prompt is too long"})
        usage = {"prompt_tokens": 200, "completion_tokens": 1}
        return says("Yes", usage=usage | {"prompt_tokens_details": {"cached_tokens": 50}})


async def test_what_a_server_does_not_read(model: MlxModel) -> None:
    server = ShortWindow()
    async with beside(server, model) as pair:
        first, reading, longer, idle = await prefill.measure(pair)
    assert isinstance(first, Row)
    assert isinstance(reading, Row)
    assert (first.name, reading.name) == ("first token, 256 tokens", "reading 256 tokens")
    assert first.sides is not None
    assert reading.sides is not None
    # Of theirs those count that were not in its cache.
    runs = zip(first.sides.theirs, reading.sides.theirs, strict=True)
    assert [seconds / 1e3 * rate for seconds, rate in runs] == pytest.approx([150] * 5)
    # No prompt was asked twice.
    asked = [request["messages"][-1]["content"].split()[0] for request in server.requests]
    assert len(set(asked)) == len(asked) == 7
    assert isinstance(longer, Skipped)
    assert longer.name == "first token, 1,024 tokens"
    assert "(400: the prompt is too long)" in longer.reason
    assert isinstance(idle, Row)
    assert idle.name == "request without the model"


async def test_a_conversation_with_a_server_that_does_not_tell_what_it_knew(
    model: MlxModel,
) -> None:
    server = OpenAIServer([says("Well")])
    async with beside(server, model) as pair:
        first, read, own_read, time = await reuse.measure(pair)
    assert isinstance(first, Row)
    assert first.sides is not None
    assert len(first.sides.ours) == len(first.sides.theirs) == 19
    reason = f"the server at {server.url} does not report the tokens that it knew"
    assert (read, own_read) == (
        Skipped("tokens read in it", reason),
        Skipped("tokens read", reason),
    )
    assert isinstance(time, Row)
    assert (time.name, time.limit) == ("time", None)
    # Each request of the given conversation goes on from the one before.
    given = [request["messages"] for request in server.requests[:20]]
    assert all(new[: len(old)] == old for old, new in itertools.pairwise(given))
    assert len(given[-1]) == 40


async def test_a_cancel_closes_the_connection(model: MlxModel) -> None:
    server = OpenAIServer([says("Well"), says("Well", " then")])
    async with beside(server, model) as pair:
        writing, reading = await cancel.measure(pair)
        with serve_openai(OpenAIServer([Answer(endless=True)])) as endless:
            async with client_of(endless.url) as client:
                await cut_off_writing(client, Question(HELLO, 8))
                await cut_off_reading(client, Question(HELLO, 8), 0.05)
            assert endless.gone.wait(5)
    for row in (writing, reading):
        assert isinstance(row, Row)
        assert row.sides is not None
        assert len(row.sides.ours) == len(row.sides.theirs) == 5
