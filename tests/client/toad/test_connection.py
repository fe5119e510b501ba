"""Front ends that hold the threads themselves, with a real server."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from punie.client.acp_socket import RequestFailed
from punie.client.toad import (
    KnownCalls,
    PermissionQuestion,
    ServerUnavailable,
    ToadConnection,
    ToolCallData,
    cancel_prompt,
    create_toad_session,
    handle_tool_update,
    send_prompt_stream,
)
from tests.server.conftest import RunningServer

pytestmark = pytest.mark.anyio
Json = dict[str, Any]
Use = Callable[..., None]
EDIT = {
    "tool": "edit_file",
    "arguments": {"path": "app.py", "edits": [{"old_text": "Hello", "new_text": "Hi"}]},
}
READ = {"tool": "read_file", "arguments": {"path": "app.py"}}
SLOW = {"text": "One word after the other. " * 40, "delay": 0.05, "chunks": 200}


async def session(server: RunningServer, cwd: Path, **options: Any) -> tuple[ToadConnection, str]:
    return await create_toad_session(
        server.record.url, cwd, options.pop("capture", None), state_dir=server.state_dir, **options
    )


async def test_a_turn_streams_and_its_tool_calls_are_shown(
    server: RunningServer, scripted: Use, project: Path
) -> None:
    scripted({"thought": "Let me look.", "calls": [READ]}, {"text": "It greets people."})
    kinds: list[str] = []
    text: list[str] = []
    calls: dict[str, list[ToolCallData]] = {}

    async def on_chunk(kind: str, update: Json) -> None:
        kinds.append(kind)
        if kind == "agent_message_chunk":
            text.append(update["content"]["text"])
        await handle_tool_update(update, lambda name, data: calls.setdefault(name, []).append(data))

    ws, session_id = await session(server, project)
    async with ws:
        assert await send_prompt_stream(ws, session_id, "go", on_chunk) == {
            "stopReason": "end_turn"
        }
    assert "".join(text) == "It greets people."
    assert {"agent_thought_chunk", "tool_call", "tool_call_update"} <= set(kinds)
    (seen,) = calls.values()
    assert seen[-1]["status"] == "completed"
    # Whole each time, although the wire says only what is new.
    assert {data["kind"] for data in seen} == {"read"}
    assert all(data["title"] for data in seen)
    assert "def greet" in json.dumps(seen[-1]["content"])
    assert seen[-1]["locations"][0]["path"] == str(project / "app.py")


async def test_a_question_has_the_whole_call_and_its_answer_decides(
    server: RunningServer, scripted: Use, project: Path
) -> None:
    scripted({"calls": [EDIT]}, {"text": "Done."})
    questions: list[PermissionQuestion] = []

    async def decide(question: PermissionQuestion) -> str | None:
        questions.append(question)
        return question.option("allow_once")

    ws, session_id = await session(server, project, on_permission=decide)
    async with ws:
        await send_prompt_stream(ws, session_id, "go", lambda *_: None)
    assert "Hi " in (project / "app.py").read_text()
    (question,) = questions
    assert question.session_id == session_id
    assert question.call["kind"] == "edit"
    assert question.call["content"][0]["type"] == "diff"
    assert question.option("no such kind") is None


async def test_without_somebody_to_ask_nothing_is_allowed(
    server: RunningServer, scripted: Use, project: Path
) -> None:
    scripted({"calls": [EDIT]}, {"text": "Done."})
    ws, session_id = await session(server, project)
    async with ws:
        await send_prompt_stream(ws, session_id, "go", lambda *_: None)
    assert "Hello" in (project / "app.py").read_text()


async def test_turns_of_two_sessions_run_side_by_side_and_nothing_crosses(
    server: RunningServer, scripted: Use, project: Path
) -> None:
    scripted({"text": "First answer.", "delay": 0.01}, {"text": "Second answer."})
    texts: dict[str, str] = {}

    async def turn(session_id: str) -> None:
        def on_chunk(kind: str, update: Json) -> None:
            if kind == "agent_message_chunk":
                texts[session_id] = texts.get(session_id, "") + update["content"]["text"]

        await send_prompt_stream(ws, session_id, "go", on_chunk)

    ws, first = await session(server, project)
    async with ws:
        params = {"cwd": str(project), "mcpServers": []}
        second = await ws.conversation.open("session/new", params)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(turn, first)
            tasks.start_soon(turn, second)
        await turn(first)
    assert texts == {first: "First answer.Second answer.", second: "First answer."}


@pytest.mark.parametrize("how", ["cancel_prompt", "scope"])
async def test_a_turn_is_cancelled_and_the_session_goes_on(
    how: str, server: RunningServer, scripted: Use, project: Path
) -> None:
    scripted(SLOW, {"text": "Next."})
    begun = anyio.Event()
    ends: list[str] = []

    def on_chunk(kind: str, _: Json) -> None:
        if kind == "agent_message_chunk":
            begun.set()

    ws, session_id = await session(server, project)

    async def turn() -> None:
        ends.append((await send_prompt_stream(ws, session_id, "go", on_chunk))["stopReason"])

    async with ws, anyio.create_task_group() as tasks:
        tasks.start_soon(turn)
        await begun.wait()
        if how == "scope":
            tasks.cancel_scope.cancel()
        else:
            with pytest.raises(RequestFailed):
                await send_prompt_stream(ws, session_id, "two at once", on_chunk)
            await cancel_prompt(ws, session_id)
    assert ends == ([] if how == "scope" else ["cancelled"])


async def test_what_a_front_end_offers_is_used_and_the_rest_refused(
    server: RunningServer, scripted: Use, project: Path
) -> None:
    scripted({"calls": [READ]}, {"text": "Read."})
    shown: list[str] = []

    async def read_file(params: Json) -> Json:
        assert params["path"] == str(project / "app.py")
        return {"content": "unsaved = True\n"}

    ws, session_id = await session(server, project, handlers={"fs/read_text_file": read_file})
    async with ws:
        await send_prompt_stream(ws, session_id, "go", lambda _, update: shown.append(str(update)))
    assert "unsaved = True" in "".join(shown)


async def test_half_a_terminal_is_refused(server: RunningServer, project: Path) -> None:
    async def create(_: Json) -> Json:
        return {}

    with pytest.raises(ValueError, match=r"terminal/kill.* are missing"):
        await session(server, project, handlers={"terminal/create": create})


async def test_a_session_is_loaded_again_and_everything_is_captured(
    server: RunningServer, scripted: Use, project: Path, tmp_path: Path
) -> None:
    scripted({"calls": [READ]}, {"text": "It greets."}, {"text": "Again."})
    file = tmp_path / "wire.jsonl"
    ws, session_id = await session(server, project, capture=file)
    async with ws:
        await send_prompt_stream(ws, session_id, "What is it?", lambda *_: None)
    shown: list[Json] = []
    records: list[Json] = []
    ws, again = await session(
        server,
        project,
        capture=records.append,
        session_id=session_id,
        on_update=lambda _, update: shown.append(update),
    )
    async with ws:
        assert again == session_id
        kinds = [update["sessionUpdate"] for update in shown]
        assert kinds[0] == "user_message_chunk"
        assert {"tool_call", "agent_message_chunk"} <= set(kinds)
    assert file.stat().st_mode & 0o777 == 0o600
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["message"]["method"] for line in lines if line["direction"] == "sent"] == [
        "initialize",
        "session/new",
        "session/prompt",
    ]
    # What the wire said, in its own words, gives the same calls.
    known, calls = KnownCalls(), {}
    for line in lines:
        update = line["message"].get("params", {}).get("update", {})
        await handle_tool_update(update, lambda name, data: calls.update({name: data}), known)
    assert [data["status"] for data in calls.values()] == ["completed"]
    assert records[0]["message"]["method"] == "initialize"
    assert records[0]["time"].endswith("+00:00")
    assert any(record["direction"] == "received" for record in records)


async def test_what_cannot_be_opened_is_one_sentence(server: RunningServer, tmp_path: Path) -> None:
    with pytest.raises(ServerUnavailable, match="does not take our token"):
        await session(server, tmp_path, token="x" * 32)
    with pytest.raises(ServerUnavailable, match="does not answer"):
        await create_toad_session("http://127.0.0.1:9", tmp_path, token="x" * 32)
    with pytest.raises(RequestFailed, match="nowhere"):
        await session(server, tmp_path / "nowhere")


async def test_what_a_callback_raises_comes_out_of_the_turn(
    server: RunningServer, scripted: Use, project: Path
) -> None:
    scripted({"text": "Words."})

    def on_chunk(kind: str, update: Json) -> None:
        raise LookupError(kind)

    ws, session_id = await session(server, project)
    async with ws:
        with pytest.raises(LookupError):
            await send_prompt_stream(ws, session_id, "go", on_chunk)
