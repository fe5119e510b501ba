"""Front ends that stay: what they are told, and how they come back."""

import itertools
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.client.toad import (
    Backoff,
    Callbacks,
    ConnectionChange,
    ConnectionLost,
    PermissionQuestion,
    RequestFailed,
    ServerUnavailable,
    ToadClient,
    ToolCallData,
    run_toad_client,
)
from tests.client.toad.conftest import OwnServer
from tests.server.conftest import RunningServer

Json = dict[str, Any]
Use = Callable[..., None]
PLAN = {
    "tool": "update_plan",
    "arguments": {"steps": [{"content": "Look", "status": "in_progress"}]},
}
WRITE = {"tool": "write_file", "arguments": {"path": "note.txt", "content": "note\n"}}
SLOW = {"text": "One word after the other. " * 40, "delay": 0.05, "chunks": 200}


async def prompts(*texts: str) -> AsyncIterator[str]:
    for text in texts:
        yield text


@pytest.mark.anyio
async def test_each_kind_of_update_has_its_callback(
    server: RunningServer, scripted: Use, project: Path
) -> None:
    scripted(
        {"thought": "A plan first.", "calls": [PLAN]},
        {"calls": [WRITE]},
        {"text": "Written."},
        {"text": "Once more."},
    )
    told: dict[str, list[Any]] = {}
    calls: dict[str, ToolCallData] = {}

    def telling(name: str) -> Callable[..., None]:
        return lambda *values: told.setdefault(name, []).append(values)

    async def decide(question: PermissionQuestion) -> str | None:
        telling("on_permission")(question.call["title"])
        return question.option("allow_once")

    def show_call(call_id: str, data: ToolCallData) -> None:
        calls[call_id] = data

    names = (
        "on_text", "on_thought", "on_user_text", "on_plan", "on_mode", "on_commands",
        "on_config_options", "on_usage", "on_title", "on_notice", "on_turn_end", "on_connection",
    )  # fmt: skip
    callbacks = Callbacks(
        **{name: telling(name) for name in names}, on_tool_call=show_call, on_permission=decide
    )
    kinds = set()
    with anyio.fail_after(30):
        await run_toad_client(
            server.record.url,
            project,
            lambda kind, _: kinds.add(kind),
            callbacks=callbacks,
            prompts=prompts("Write a note", "And again"),
            state_dir=server.state_dir,
        )
    assert "".join(text for (text,) in told["on_text"]) == "Written.Once more."
    assert "".join(text for (text,) in told["on_thought"]).startswith("A plan first.")
    assert told["on_plan"][-1][0][0]["content"] == "Look"
    assert told["on_turn_end"] == [("end_turn",), ("end_turn",)]
    assert told["on_mode"][0] == ("ask",)
    assert {"mode", "model"} <= {option["id"] for option in told["on_config_options"][0][0]}
    assert "undo" in {command["name"] for command in told["on_commands"][0][0]}
    assert told["on_title"][-1] == ("Write a note",)
    used, size = told["on_usage"][-1]
    assert 0 < used < size
    assert [change.state for (change,) in told["on_connection"]] == ["open"]
    assert len(told["on_permission"]) == 1
    (written,) = (data for data in calls.values() if data["kind"] == "edit")
    assert written["status"] == "completed"
    assert (project / "note.txt").read_text() == "note\n"
    assert {"agent_message_chunk", "tool_call", "usage_update"} <= kinds
    assert "on_user_text" not in told


@pytest.mark.anyio
async def test_a_front_end_acts_on_its_session(
    server: RunningServer, scripted: Use, project: Path
) -> None:
    scripted(SLOW, {"text": "After."})
    modes: list[str] = []
    options: list[Json] = []
    ends: list[str] = []
    ready: list[ToadClient] = []
    answers: list[Any] = []

    async def drive(client: ToadClient) -> None:
        with pytest.raises(RequestFailed, match="mode"):
            await client.set_mode("no such mode")
        await client.set_mode("plan")
        await client.set_config_option("mode", "accept_edits")
        begun = anyio.Event()
        begin_text.append(begun.set)
        async with anyio.create_task_group() as tasks:

            async def turn() -> None:
                answers.append(await client.prompt([{"type": "text", "text": "go"}]))

            tasks.start_soon(turn)
            await begun.wait()
            with pytest.raises(RequestFailed):
                await client.prompt("two at once")
            await client.cancel()
        answers.append(await client.prompt("go on"))
        client.stop()

    def begin(client: ToadClient) -> None:
        ready.append(client)
        tasks.start_soon(drive, client)

    begin_text: list[Callable[[], None]] = []
    async with anyio.create_task_group() as tasks:
        await run_toad_client(
            server.record.url,
            project,
            callbacks=Callbacks(
                on_text=lambda _: begin_text[-1](),
                on_mode=modes.append,
                on_config_options=lambda told: options.extend(told),
                on_turn_end=ends.append,
            ),
            on_ready=begin,
            state_dir=server.state_dir,
        )
    assert [mode for mode, _ in itertools.groupby(modes)] == ["ask", "plan", "accept_edits"]
    assert [answer["stopReason"] for answer in answers] == ["cancelled", "end_turn"]
    assert [end.partition(":")[0] for end in ends] == ["failed", "cancelled", "end_turn"]
    assert ready[0].session_id


@pytest.mark.anyio
async def test_a_killed_server_is_started_again_and_the_session_goes_on(
    own_server: OwnServer, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "script.json"
    responses = [{"text": "First."}, SLOW, {"text": "It goes on."}]
    script.write_text(json.dumps({"responses": responses}))
    monkeypatch.setenv("PUNIE_MODEL", f"scripted:{script}")
    changes: list[ConnectionChange] = []
    ends: list[str] = []
    texts: list[str] = []
    killed: list[bool] = []

    def show(text: str) -> None:
        texts.append(text)
        if ends == ["end_turn"] and not killed:
            killed.append(True)
            own_server.kill()

    with anyio.fail_after(60):
        await run_toad_client(
            None,
            project,
            callbacks=Callbacks(
                on_text=show, on_turn_end=ends.append, on_connection=changes.append
            ),
            prompts=prompts("one", "two", "three"),
            backoff=Backoff(first_seconds=0.02),
        )
    assert ends == ["end_turn", "connection_lost", "end_turn"]
    assert [change.state for change in changes] == ["open", "lost", "resumed"]
    assert len({change.session_id for change in changes}) == 1
    assert changes[1].attempt == 1
    assert "".join(texts).startswith("First.One")
    # The cut response is in the history: the model is asked for what comes after it.
    assert "".join(texts).endswith("It goes on.")


@pytest.mark.anyio
async def test_a_server_that_stays_away_is_given_up_with_a_sentence(
    own_server: OwnServer, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from punie.client.finding import ensure_server

    url = (await ensure_server(own_server.state_dir)).url
    changes: list[ConnectionChange] = []
    lost: list[type[Exception]] = []

    async def drive(client: ToadClient) -> None:
        own_server.kill()
        for _ in range(3):  # when the connection is lost, and when it is given up
            with pytest.raises(ConnectionLost) as raised:
                await client.prompt("go")
            lost.append(raised.type)

    async with anyio.create_task_group() as tasks:
        with anyio.fail_after(30), pytest.raises(ServerUnavailable, match="did not come back"):
            await run_toad_client(
                url,
                project,
                callbacks=Callbacks(on_connection=changes.append),
                on_ready=lambda client: tasks.start_soon(drive, client),
                backoff=Backoff(first_seconds=0.01, most_seconds=0.02, tries=3),
            )
    assert [(change.state, change.attempt) for change in changes] == [
        ("open", 0), ("lost", 1), ("lost", 2), ("lost", 3),
    ]  # fmt: skip
    assert "token" in changes[-1].reason
    assert lost == [ConnectionLost] * 3


@pytest.mark.anyio
async def test_what_goes_wrong_at_once_or_in_a_callback_is_raised(
    server: RunningServer, scripted: Use, project: Path, tmp_path: Path
) -> None:
    async def run(**options: Any) -> None:
        await run_toad_client(server.record.url, **{
            "cwd": project, "state_dir": server.state_dir, **options
        })  # fmt: skip

    async def failing() -> AsyncIterator[str]:
        for _ in ():
            yield ""
        raise LookupError("prompts")

    def fail(*_: object) -> Any:
        raise LookupError("callback")

    scripted({"text": "Words."}, repeat=True)
    with anyio.fail_after(20):
        with pytest.raises(RequestFailed, match="nowhere"):
            await run(cwd=tmp_path / "nowhere")
        with pytest.raises(RequestFailed):
            await run(session_id="no such session")
        with pytest.raises(ServerUnavailable, match="token"):
            await run(token="x" * 32)
        with pytest.raises(LookupError, match="prompts"):
            await run(prompts=failing())
        for name in ("on_text", "on_turn_end", "on_connection", "on_commands"):
            with pytest.raises(LookupError, match="callback"):
                await run(callbacks=Callbacks(**{name: fail}), prompts=prompts("go"))
        with pytest.raises(LookupError, match="callback"):
            await run(on_ready=fail)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_waits_grow_to_a_limit_and_are_never_the_same_for_all(attempt: int, chance: float) -> None:
    backoff = Backoff(first_seconds=0.5, most_seconds=30.0)
    seconds = backoff.seconds(attempt, lambda: chance)
    longest = backoff.seconds(attempt, lambda: 0.0)
    assert longest / 2 <= seconds <= longest <= 30.0
    assert longest == min(30.0, 0.5 * 2 ** min(attempt - 1, 20))
