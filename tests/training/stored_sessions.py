"""Sessions as the product stores them, made by real turns with the real tools."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic_ai.messages import ModelMessage
from pydantic_ai.models import Model

from punie.agent.cancel import CancelSignal
from punie.agent.events import (
    Mode,
    PermissionAsked,
    TurnEvent,
    UserMessage,
    decode_event,
    encode_event,
    is_stored,
)
from punie.agent.journal import PastTurns
from punie.agent.turn import run_turn
from punie.agent.turn_config import TurnConfig, turn_tools
from punie.agent.undo import just_do, move_turns
from punie.sessions.store import SessionStore
from punie.settings import Settings
from punie.tools.base import ReadLedger, ToolLimits
from punie.workspace.checkpoints.recorder import Recorder
from punie.workspace.checkpoints.workspace import CheckpointedWorkspace
from punie.workspace.local import LocalWorkspace
from tests.agent.stage import Piece, Recording, call, prompt, scripted

Response = Sequence[Piece]


def use(tool: str, **arguments: Any) -> Response:
    """A response that calls one tool."""
    return [call(tool, json.dumps(arguments))]


def says(text: str) -> Response:
    """A response that is text alone."""
    return [text]


@dataclass
class StoredSession:
    """A session of a project, whose events go into the store of the settings."""

    settings: Settings
    project: Path
    id: str = field(default_factory=lambda: uuid4().hex)
    mode: Mode = "auto"
    answer: str | None = "allow_once"
    code_mode: bool = False
    limits: ToolLimits = field(default_factory=ToolLimits)
    events: list[TurnEvent] = field(default_factory=list)
    requests: list[list[ModelMessage]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = SessionStore(self.settings.sessions_file)
        recorder = Recorder(self.settings.checkpoints_folder(self.id))
        self.workspace = CheckpointedWorkspace(LocalWorkspace([self.project]), recorder)
        self.reads = ReadLedger()

    async def emit(self, event: TurnEvent) -> None:
        """Store an event as the product does."""
        if not is_stored(event):
            return
        if not self.events:
            await self.store.create(self.id, str(self.project), {})
        self.events.append(decode_event(encode_event(event)))
        await self.store.append(self.id, event.kind, encode_event(event))

    async def ask(self, asked: PermissionAsked) -> str | None:
        return self.answer

    async def turn(self, asked: str | UserMessage, *responses: Response) -> UserMessage:
        """Run a turn in which the model responds so; return its prompt."""
        first = len(self.requests)
        recording = Recording(self.requests)
        answers = {first + number: response for number, response in enumerate(responses, 1)}
        model = scripted(lambda done, messages: answers[len(self.requests)], recording)
        return await self.turn_with(model, asked)

    async def turn_with(self, model: Model, asked: str | UserMessage) -> UserMessage:
        """Run a turn with a model."""
        message = prompt(asked) if isinstance(asked, str) else asked
        config = TurnConfig(
            model=model,
            workspace=self.workspace,
            reads=self.reads,
            tools=turn_tools((), attended=True, code_mode=self.code_mode),
            mode=lambda: self.mode,
            limits=self.limits,
            watch=self.workspace.watch,
            max_tokens=400,
            temperature=0.0,
        )
        past = PastTurns(tuple(self.events))
        cancel = CancelSignal()
        await run_turn(config, message, past, emit=self.emit, ask=self.ask, cancel=cancel)
        return message

    async def undo(self) -> None:
        """Take the last turn's file changes back, as `punie undo` does."""
        moved = await move_turns(self.workspace, "undo", 1, just_do)
        assert moved.any_done

    async def aclose(self) -> None:
        await self.workspace.aclose()
        await self.store.close()
