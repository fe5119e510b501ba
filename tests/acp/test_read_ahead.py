"""Reading ahead between turns, and what happens when a turn comes in between."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from pydantic_ai.messages import ModelMessage, TextPart, UserPromptPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings

from punie.acp.handshake import ClientProfile
from punie.acp.models import Loader, ModelPool, Say
from punie.acp.read_ahead import read_ahead
from punie.acp.sessions import LiveSession, RunningTurn
from punie.agent.events import PromptText, TextDelta, TurnEnded, TurnEvent, UserMessage
from punie.agent.permissions.store import Permissions
from punie.models.catalog import ModelChoice
from punie.models.options import EngineOptions
from punie.models.scripted import ScriptedModel, load_script
from punie.settings import Settings
from punie.workspace.checkpoints.recorder import Recorder
from punie.workspace.checkpoints.workspace import CheckpointedWorkspace
from punie.workspace.local import LocalWorkspace

pytestmark = pytest.mark.anyio


class Reader(ScriptedModel):
    """A model that notes what it was to read."""

    def __init__(self, path: Path) -> None:
        super().__init__(load_script(path))
        self.read: list[list[ModelMessage]] = []
        self.ended = 0
        self.slow = False

    async def read_ahead(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> None:
        self.read.append(messages)
        try:
            if self.slow:
                await anyio.sleep_forever()
        finally:
            self.ended += 1


def prompt(text: str) -> UserMessage:
    return UserMessage(message_id=text, blocks=(PromptText(text=text),), text=text)


FIRST_TURN: list[TurnEvent] = [
    prompt("one"),
    TextDelta(message_id="1", text="Answer."),
    TurnEnded(stop_reason="end_turn"),
]


@asynccontextmanager
async def opened(
    folder: Path, go: anyio.Event
) -> AsyncIterator[tuple[LiveSession, ModelPool, Reader]]:
    """A session after its first turn; its model is open when `go` is set."""
    path = folder / "script.json"
    path.write_text(json.dumps({"responses": []}))
    reader = Reader(path)
    session = LiveSession(
        id="s",
        cwd=folder,
        roots=[folder],
        profile=ClientProfile(),
        settings=Settings(),
        mode="plan",
        model=f"scripted:{path}",
        choices=[],
        thinking=None,
        thinking_levels=(),
        workspace=CheckpointedWorkspace(LocalWorkspace([folder]), Recorder(folder / "checkpoints")),
        permissions=Permissions(folder, folder),
        events=list(FIRST_TURN),
    )

    async def load(_: ModelChoice, __: Say, ___: EngineOptions) -> ScriptedModel:
        await go.wait()
        return reader

    async with anyio.create_task_group() as tasks:
        yield session, ModelPool(tasks, EngineOptions(), lambda: cast(Loader, load)), reader


def texts(messages: list[ModelMessage]) -> list[Any]:
    return [
        part.content
        for message in messages
        for part in message.parts
        if isinstance(part, UserPromptPart | TextPart)
    ]


async def test_it_reads_the_conversation_after_a_turn(tmp_path: Path) -> None:
    go = anyio.Event()
    go.set()
    async with opened(tmp_path, go) as (session, pool, reader):
        await read_ahead(session, pool, after_turn=True)
        assert [texts(messages) for messages in reader.read] == [["one", "Answer."]]
        await read_ahead(session, pool, after_turn=False)
        assert reader.read[1] == []


async def test_a_turn_that_has_begun_meanwhile_is_left_alone(tmp_path: Path) -> None:
    go = anyio.Event()
    async with opened(tmp_path, go) as (session, pool, reader):
        async with anyio.create_task_group() as tasks:

            async def read() -> None:
                await read_ahead(session, pool, after_turn=True)

            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            # As `PunieAgent.prompt` and the turn do: the prompt is saved before the model is there.
            earlier = tuple(session.events)
            session.turn = RunningTurn()
            session.events.append(prompt("two"))
            go.set()
        assert reader.read == []
        from punie.agent.journal import PastTurns

        past = session.past = session.past or PastTurns()
        past.catch_up(earlier)
        # The turn itself adds its prompt; here it would stand twice.
        assert texts(past.history.messages()) == ["one", "Answer."]


@pytest.mark.parametrize("end", ["close", "again"])
async def test_it_ends_with_the_session_and_when_it_is_begun_anew(tmp_path: Path, end: str) -> None:
    go = anyio.Event()
    go.set()
    async with opened(tmp_path, go) as (session, pool, reader):
        reader.slow = True
        async with anyio.create_task_group() as tasks:

            async def read() -> None:
                await read_ahead(session, pool, after_turn=True)

            tasks.start_soon(read)
            while not reader.read:
                await anyio.sleep(0.01)
            assert reader.ended == 0
            reader.slow = False
            if end == "close":
                await session.aclose()
            else:
                await read()
        assert reader.ended == len(reader.read)
