"""Clients that somebody else wrote: those of the protocol's SDK, over WebSocket and over HTTP."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from acp import RequestError, connect_to_agent, text_block
from acp.client.connection import ClientSideConnection
from acp.http.client import create_http_stream
from acp.schema import AllowedOutcome, DeniedOutcome, RequestPermissionResponse
from acp.ws.client import create_websocket_stream

from tests.server.conftest import RunningServer

pytestmark = pytest.mark.anyio
Use = Callable[..., None]
EDIT = {
    "tool": "edit_file",
    "arguments": {"path": "app.py", "edits": [{"old_text": "Hello", "new_text": "Hi"}]},
}
SLOW = {"text": "One word after the other. " * 40, "delay": 0.05, "chunks": 200}
TRANSPORTS = pytest.mark.parametrize("kind", ["websocket", "http"])


class Recorder:
    """The SDK's idea of a client: keeps what it is told, allows what it is asked."""

    def __init__(self) -> None:
        self.updates: list[tuple[str, Any]] = []
        self.asked: list[Any] = []
        self.changed = anyio.Event()

    async def session_update(self, session_id: str, update: Any, **_: Any) -> None:
        self.updates.append((session_id, update))
        self.changed.set()
        self.changed = anyio.Event()

    async def request_permission(
        self, session_id: str, tool_call: Any, options: list[Any], **_: Any
    ) -> RequestPermissionResponse:
        self.asked.append((session_id, tool_call))
        chosen = next((each for each in options if each.kind == "allow_once"), None)
        outcome: AllowedOutcome | DeniedOutcome = DeniedOutcome(outcome="cancelled")
        if chosen is not None:
            outcome = AllowedOutcome(outcome="selected", option_id=chosen.option_id)
        return RequestPermissionResponse(outcome=outcome)

    def text(self, session_id: str) -> str:
        return "".join(
            update.content.text
            for named, update in self.updates
            if named == session_id and update.session_update == "agent_message_chunk"
        )

    def kinds(self, session_id: str) -> list[str]:
        return [update.session_update for named, update in self.updates if named == session_id]

    async def until_text(self, session_id: str) -> None:
        while not self.text(session_id):
            await self.changed.wait()


@asynccontextmanager
async def connected(
    server: RunningServer, kind: str
) -> AsyncIterator[tuple[ClientSideConnection, Recorder]]:
    headers = {"Authorization": f"Bearer {server.token}"}
    transport: Any
    if kind == "websocket":
        url = f"ws://{server.host}/acp"
        transport = await create_websocket_stream(url, headers=headers)
    else:
        transport = create_http_stream(f"{server.record.url}/acp", headers=headers)
    recorder = Recorder()
    agent = connect_to_agent(recorder, transport, use_unstable_protocol=True)  # type: ignore[arg-type]
    with anyio.fail_after(30):
        try:
            await agent.initialize(protocol_version=1)
            yield agent, recorder
        finally:
            await agent.close()


@TRANSPORTS
async def test_a_turn_with_a_question(
    kind: str, server: RunningServer, scripted: Use, project: Path
) -> None:
    scripted({"text": "Changing it.", "calls": [EDIT]}, {"text": " Changed."})
    async with connected(server, kind) as (agent, told):
        session = (await agent.new_session(cwd=str(project), mcp_servers=[])).session_id
        answer = await agent.prompt(session_id=session, prompt=[text_block("go")])
        assert answer.stop_reason == "end_turn"
        assert told.text(session) == "Changing it. Changed."
        assert {"tool_call", "tool_call_update", "usage_update"} <= set(told.kinds(session))
        ((asked_in, call),) = told.asked
        assert (asked_in, call.kind) == (session, "edit")
    assert "Hi " in (project / "app.py").read_text()


@TRANSPORTS
async def test_a_turn_is_cancelled_and_the_next_one_runs(
    kind: str, server: RunningServer, scripted: Use, project: Path
) -> None:
    scripted(SLOW, {"text": "After."})
    async with connected(server, kind) as (agent, told):
        session = (await agent.new_session(cwd=str(project), mcp_servers=[])).session_id
        reasons = []

        async def turn() -> None:
            answer = await agent.prompt(session_id=session, prompt=[text_block("go")])
            reasons.append(answer.stop_reason)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(turn)
            await told.until_text(session)
            await agent.cancel(session_id=session)
        await turn()
        assert reasons == ["cancelled", "end_turn"]
        assert told.text(session).endswith("After.")


@TRANSPORTS
async def test_two_sessions_run_on_one_connection(
    kind: str, server: RunningServer, scripted: Use, project: Path
) -> None:
    scripted({"text": "Word by word. " * 5, "delay": 0.01, "chunks": 10}, {"text": "More."})
    async with connected(server, kind) as (agent, told):
        new = [await agent.new_session(cwd=str(project), mcp_servers=[]) for _ in range(2)]
        sessions = [each.session_id for each in new]

        async def turns(session: str) -> None:
            for _ in range(2):
                await agent.prompt(session_id=session, prompt=[text_block("go")])

        async with anyio.create_task_group() as tasks:
            for session in sessions:
                tasks.start_soon(turns, session)
        for session in sessions:
            assert told.text(session) == "Word by word. " * 5 + "More."


@TRANSPORTS
async def test_a_session_is_shown_again_to_another_connection(
    kind: str, server: RunningServer, scripted: Use, project: Path
) -> None:
    scripted(*({"text": f"Answer {number}. " * 3, "chunks": 3} for number in range(20)))
    async with connected(server, kind) as (agent, before):
        session = (await agent.new_session(cwd=str(project), mcp_servers=[])).session_id
        for number in range(10):
            await agent.prompt(session_id=session, prompt=[text_block(f"Question {number}")])
    async with connected(server, kind) as (agent, told):
        await agent.load_session(cwd=str(project), session_id=session, mcp_servers=[])
        assert told.text(session) == before.text(session)
        asked = [
            update.content.text
            for _, update in told.updates
            if update.session_update == "user_message_chunk"
        ]
        assert asked == [f"Question {number}" for number in range(10)]
        # What comes later is in order too, wherever it comes.
        await agent.prompt(session_id=session, prompt=[text_block("go")])
        assert told.text(session).endswith("Answer 10. " * 3)


@TRANSPORTS
async def test_errors_come_as_errors(kind: str, server: RunningServer, tmp_path: Path) -> None:
    async with connected(server, kind) as (agent, _):
        for _ in range(2):
            with pytest.raises(RequestError, match="nowhere"):
                await agent.new_session(cwd=str(tmp_path / "nowhere"), mcp_servers=[])
        with pytest.raises(RequestError):
            await agent.prompt(session_id="none", prompt=[text_block("go")])


async def test_without_the_token_there_is_no_connection(server: RunningServer) -> None:
    transport = create_http_stream(f"{server.record.url}/acp")
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": 1}}
    with pytest.raises(RuntimeError, match="401"):
        await transport.send(message)
    await transport.close()


class Http:
    """Requests as somebody makes them who knows the wire."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.client = httpx.Client(
            base_url=server.record.url,
            headers={"Authorization": f"Bearer {server.token}"},
            timeout=20,
            trust_env=False,
        )

    def initialize(self) -> str:
        answer = self.client.post("/acp", json=self.message("initialize", 0, protocolVersion=1))
        assert answer.status_code == 200
        assert answer.json()["result"]["protocolVersion"] == 1
        found: str = answer.headers["acp-connection-id"]
        return found

    @staticmethod
    def message(method: str, number: int | None = None, **params: Any) -> dict[str, Any]:
        members = {} if number is None else {"id": number}
        return {"jsonrpc": "2.0", **members, "method": method, "params": params}


NEW = Http.message("session/new", 1)
CANCEL = Http.message("session/cancel", sessionId="one")


@pytest.mark.parametrize(
    ("method", "headers", "body", "status"),
    [
        ("POST", {"content-type": "text/plain"}, json.dumps(NEW), 415),
        ("POST", {"content-type": ""}, json.dumps(NEW), 415),
        ("POST", {}, "{", 400),
        ("POST", {}, "", 400),
        ("POST", {}, b"\xff", 400),
        ("POST", {}, "[" * 100_000, 400),
        ("POST", {}, "1", 400),
        ("POST", {}, json.dumps([NEW]), 501),
        ("POST", {"acp-connection-id": None}, json.dumps(NEW), 400),
        ("POST", {"acp-connection-id": "f" * 32}, json.dumps(NEW), 404),
        ("POST", {}, json.dumps({**Http.message("initialize", 1), "id": [1]}), 400),
        ("POST", {"acp-session-id": "two"}, json.dumps(CANCEL), 400),
        ("POST", {"acp-session-id": "one"}, json.dumps(CANCEL), 202),
        ("POST", {}, json.dumps(Http.message("session/list", 1)), 202),
        ("GET", {"acp-connection-id": None}, None, 400),
        ("GET", {"acp-connection-id": "f" * 32}, None, 404),
        ("GET", {"accept": "text/html"}, None, 406),
        ("GET", {"accept": ""}, None, 406),
        ("DELETE", {"acp-connection-id": None}, None, 400),
        ("DELETE", {"acp-connection-id": "f" * 32}, None, 404),
        ("PUT", {}, "{}", 405),
    ],
)  # fmt: skip
def test_the_status_says_what_is_wrong(
    method: str, headers: dict[str, str | None], body: Any, status: int, server: RunningServer
) -> None:
    http = Http(server)
    given = {
        "acp-connection-id": http.initialize(),
        "content-type": "application/json",
        "accept": "text/event-stream",
        **headers,
    }
    sent = {name: value for name, value in given.items() if value is not None}
    answer = http.client.request(method, "/acp", headers=sent, content=body)
    assert answer.status_code == status
    if status >= 400 and status != 405:
        assert answer.json()["error"].endswith(".")
    http.client.delete("/acp", headers={"acp-connection-id": given["acp-connection-id"] or ""})


def test_a_stream_has_one_reader_and_a_connection_few_streams(server: RunningServer) -> None:
    web = Http(server)
    ours = {"acp-connection-id": web.initialize(), "accept": "text/event-stream"}
    with web.client.stream("GET", "/acp", headers=ours) as first:
        assert first.status_code == 200
        assert web.client.get("/acp", headers=ours).status_code == 409
    statuses = set()
    for number in range(210):
        with web.client.stream(
            "GET", "/acp", headers={**ours, "acp-session-id": str(number)}
        ) as answer:
            statuses.add(answer.status_code)
    assert statuses == {200, 429}
    assert web.client.delete("/acp", headers=ours).status_code == 202
    assert web.client.get("/acp", headers=ours).status_code == 404


def test_delete_ends_the_turn_and_the_streams(
    server: RunningServer, scripted: Use, project: Path
) -> None:
    scripted(SLOW)
    web = Http(server)
    ours = {"acp-connection-id": web.initialize()}
    with web.client.stream("GET", "/acp", headers=ours) as stream:
        lines = stream.iter_lines()
        new = web.message("session/new", 1, cwd=str(project), mcpServers=[])
        web.client.post("/acp", json=new, headers=ours)
        session = _until(lines, lambda each: each.get("id") == 1)["result"]["sessionId"]
        prompt = web.message(
            "session/prompt", 2, sessionId=session, prompt=[{"type": "text", "text": "go"}]
        )
        mine = {**ours, "acp-session-id": session}
        with web.client.stream("GET", "/acp", headers=mine) as own:
            said = own.iter_lines()
            assert web.client.post("/acp", json=prompt, headers=mine).status_code == 202
            _until(said, lambda each: "agent_message_chunk" in json.dumps(each))
            assert web.client.delete("/acp", headers=ours).status_code == 202
            for _ in said:
                pass
        for _ in lines:
            pass
    assert web.client.get("/status").json()["turns"] == 0


def _until(lines: Any, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    for line in lines:
        if line.startswith("data: "):
            message: dict[str, Any] = json.loads(line.removeprefix("data: "))
            if wanted(message):
                return message
    raise AssertionError("the stream ended")
