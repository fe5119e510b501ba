"""The conversation with an agent, over a pair in memory whose other end the test plays."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from punie.client.acp_socket import AcpSocket, ConnectionLost, RequestFailed
from punie.client.lines import AgentEnd, memory_pair

pytestmark = pytest.mark.anyio
Json = dict[str, Any]


class Peer:
    """The agent's side, played by hand."""

    def __init__(self, end: AgentEnd) -> None:
        self.end = end

    async def read(self) -> Json:
        line = (await self.end.receive())[0]
        assert line is not None
        message: Json = json.loads(line)
        assert message.pop("jsonrpc") == "2.0"
        return message

    def say(self, **members: Any) -> None:
        self.end.post(json.dumps({"jsonrpc": "2.0", **members}).encode() + b"\n")

    def notify(self, method: str, **params: Any) -> None:
        self.say(method=method, params=params)


@asynccontextmanager
async def talking(**options: Any) -> AsyncIterator[tuple[AcpSocket, Peer]]:
    lines, end = memory_pair()
    with anyio.fail_after(5):
        async with AcpSocket.over(lines, **options) as agent:
            yield agent, Peer(end)


async def test_answers_find_their_requests_in_any_order() -> None:
    results: dict[str, Any] = {}

    async with talking() as (agent, peer), anyio.create_task_group() as tasks:

        async def ask(name: str) -> None:
            results[name] = await agent.request("method", {"name": name})

        for name in "abc":
            tasks.start_soon(ask, name)
        asked = [await peer.read() for _ in range(3)]
        for request in reversed(asked):
            peer.say(id=request["id"], result=request["params"]["name"].upper())
    assert results == {"a": "A", "b": "B", "c": "C"}


async def test_an_error_is_raised_with_its_code_and_data() -> None:
    async with talking() as (agent, peer), anyio.create_task_group() as tasks:

        async def refuse() -> None:
            request = await peer.read()
            error = {"code": -32602, "message": "The folder is not there.", "data": [1]}
            peer.say(id=request["id"], error=error)

        tasks.start_soon(refuse)
        with pytest.raises(RequestFailed, match=r"The folder is not there\.") as failed:
            await agent.request("session/new")
        assert (failed.value.code, failed.value.data) == (-32602, [1])


async def test_all_that_came_before_an_answer_is_handled_before_it_returns() -> None:
    seen = []

    async def slowly(params: Json) -> None:
        await anyio.sleep(0.01)
        seen.append(params["number"])

    async with talking() as (agent, peer), anyio.create_task_group() as tasks:

        async def turn() -> None:
            request = await peer.read()
            for number in range(5):
                peer.notify("session/update", number=number)
            peer.say(id=request["id"], result={})
            peer.notify("session/update", number=5)

        agent.on_notification("session/update", slowly)
        tasks.start_soon(turn)
        await agent.request("session/prompt")
        assert seen == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("flood", [1, 3000])
async def test_a_handler_may_ask_and_is_answered_past_what_waits(flood: int) -> None:
    """Nothing waits in a circle, however much came before the answer that the handler needs."""
    seen: list[Any] = []

    async with talking() as (agent, peer), anyio.create_task_group() as tasks:

        async def ask_again(params: Json) -> None:
            seen.append(await agent.request("more") if params["number"] == 0 else params["number"])

        async def turn() -> None:
            first = await peer.read()
            for number in range(flood):
                peer.notify("session/update", number=number)
            more = await peer.read()
            peer.notify("session/update", number=flood)
            peer.say(id=more["id"], result="more")
            peer.say(id=first["id"], result="first")

        agent.on_notification("session/update", ask_again)
        tasks.start_soon(turn)
        assert await agent.request("first") == "first"
    assert seen == ["more", *range(1, flood + 1)]


async def test_the_agents_questions_wait_side_by_side_and_hold_up_nothing() -> None:
    answers = {"a": anyio.Event(), "b": anyio.Event()}

    async def decide(params: Json) -> Json:
        await answers[params["name"]].wait()
        return {"for": params["name"]}

    async with talking() as (agent, peer):
        agent.on_request("session/request_permission", decide)
        for number, name in enumerate("ab"):
            peer.say(id=number, method="session/request_permission", params={"name": name})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(agent.request, "session/list")
            request = await peer.read()
            peer.say(id=request["id"], result={})
        answers["b"].set()
        assert await peer.read() == {"id": 1, "result": {"for": "b"}}
        answers["a"].set()
        assert await peer.read() == {"id": 0, "result": {"for": "a"}}


async def test_a_question_that_is_withdrawn_is_cancelled_even_before_it_began() -> None:
    ended = []

    async def never(_: Json) -> Json:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(True)
        return {}

    async with talking() as (agent, peer):
        agent.on_request("session/request_permission", never)
        for _ in range(2):
            peer.say(id=7, method="session/request_permission", params={})
            peer.notify("$/cancel_request", requestId=7)
            assert (await peer.read())["error"]["code"] == -32800
        peer.notify("$/cancel_request", requestId=[7])
        peer.say(id=8, method="session/request_permission", params={})
        await anyio.wait_all_tasks_blocked()
        peer.notify("$/cancel_request", requestId=8)
        assert (await peer.read())["error"]["code"] == -32800
    assert ended


@pytest.mark.parametrize("way", ["it ends", "a handler fails"])
async def test_whoever_is_asked_hears_when_the_connection_has_gone(way: str) -> None:
    cancelled = anyio.Event()

    async def ask_a_person(_: Json) -> Json:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()
        return {}

    def fail(_: Json) -> None:
        raise LookupError("handler")

    async with talking() as (agent, peer):
        agent.on_request("session/request_permission", ask_a_person)
        agent.on_notification("session/update", fail)
        peer.say(id=1, method="session/request_permission", params={})
        await anyio.wait_all_tasks_blocked()
        if way == "it ends":
            peer.end.end()
        else:
            peer.notify("session/update")
        await cancelled.wait()
        with pytest.raises(ConnectionLost if way == "it ends" else LookupError):
            await agent.request("session/list")


async def test_what_nobody_offers_is_answered_as_unknown() -> None:
    async with talking() as (_, peer):
        peer.say(id="x", method="terminal/create", params={"command": "rm"})
        answer = await peer.read()
        assert answer["id"] == "x"
        assert answer["error"]["code"] == -32601


async def test_a_cancelled_request_is_withdrawn() -> None:
    async with talking() as (agent, peer):
        with anyio.move_on_after(0.01):
            await agent.request("session/prompt")
        request = await peer.read()
        cancelled = {"method": "$/cancel_request", "params": {"requestId": request["id"]}}
        assert await peer.read() == cancelled
        peer.say(id=request["id"], error={"code": -32800, "message": "cancelled"})
        peer.notify("other")
        await anyio.wait_all_tasks_blocked()
        assert not agent.has_ended


async def test_the_end_of_the_connection_comes_out_of_everything_that_waits() -> None:
    seen = []
    async with talking() as (agent, peer):
        agent.on_notification("session/update", lambda params: seen.append(params["number"]))

        async def end() -> None:
            await peer.read()
            peer.notify("session/update", number=1)
            peer.end.end()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(end)
            with pytest.raises(ConnectionLost):
                await agent.request("session/prompt")
        await agent.wait_ended()
        assert seen == [1]
        with pytest.raises(ConnectionLost):
            await agent.request("session/list")
        with pytest.raises(ConnectionLost):
            await agent.notify("session/cancel", {})


@pytest.mark.parametrize("kind", ["notification", "request"])
async def test_what_a_handler_raises_comes_out_of_the_request(kind: str) -> None:
    def fail(params: Json) -> Any:
        raise KeyError("title")

    async def turn(peer: Peer) -> None:
        await peer.read()
        if kind == "notification":
            peer.notify("method")
        else:
            peer.say(id=1, method="method")
            assert (await peer.read())["error"]["code"] == -32603

    async with talking() as (agent, peer), anyio.create_task_group() as tasks:
        agent.on_notification("method", fail)
        agent.on_request("method", fail)
        tasks.start_soon(turn, peer)
        with pytest.raises(KeyError, match="title"):
            await agent.request("session/prompt")
        with pytest.raises(KeyError, match="title"):
            await agent.wait_ended()


async def test_what_is_no_message_is_passed_over() -> None:
    async with talking() as (agent, peer):
        for line in (
            b"",
            b"{",
            b"[]",
            b"{}",
            b"[" * 100_000,
            b"\xff",
            b'{"id": [1]}',
            b'{"id": 9}',
        ):
            peer.end.post(line)
        peer.say(method="session/update", params=[1])
        peer.say(method=3, params={})

        async def answer() -> None:
            request = await peer.read()
            peer.say(id=request["id"], error="no object")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer)
            with pytest.raises(RequestFailed):
                await agent.request("session/list")


async def test_the_handshake_refuses_another_version_of_the_protocol() -> None:
    seen: list[tuple[str, bool]] = []
    tap = lambda message, incoming: seen.append((message.get("method", "answer"), incoming))  # noqa: E731
    async with talking(tap=tap) as (agent, peer), anyio.create_task_group() as tasks:

        async def answer() -> None:
            for version in (1, 2):
                request = await peer.read()
                assert request["params"]["clientInfo"] == {"name": "tests", "version": "1"}
                peer.say(id=request["id"], result={"protocolVersion": version})

        tasks.start_soon(answer)
        assert await agent.initialize("tests", "1") == {"protocolVersion": 1}
        with pytest.raises(RequestFailed, match="version 2 of the protocol, not 1"):
            await agent.initialize("tests", "1")
    assert seen == [("initialize", False), ("answer", True)] * 2


async def test_an_agent_in_memory_is_slowed_down_by_its_reader_and_freed_by_its_leaving() -> None:
    lines, end = memory_pair()

    async def write_many() -> None:
        for _ in range(1000):
            await end.write(b"{}\n")

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write_many)
            await anyio.wait_all_tasks_blocked()
            assert 1 < end._written.statistics().current_buffer_used < 1000
            lines.close()
        with pytest.raises(anyio.EndOfStream):
            await end.receive()
