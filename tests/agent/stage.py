"""What the tests of a turn share: a few small tools, scripted models and a recorder of events."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import anyio
from pydantic import BaseModel
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models.function import AgentInfo, DeltaThinkingPart, DeltaToolCall, FunctionModel

from punie.agent.cancel import CancelSignal
from punie.agent.events import (
    Mode,
    PermissionAsked,
    PromptText,
    TurnEnded,
    TurnEvent,
    UserMessage,
    decode_event,
    encode_event,
)
from punie.agent.journal import PastTurns
from punie.agent.turn import run_turn
from punie.agent.turn_config import TurnConfig
from punie.tools.base import (
    AnyTool,
    ReadLedger,
    Tool,
    ToolArguments,
    ToolContext,
    ToolError,
    ToolLimits,
    ToolResult,
)
from punie.tools.presentation import DiffContent, Presentation
from punie.workspace.local import LocalWorkspace


def messages_from_events(events: Sequence[TurnEvent]) -> list[ModelMessage]:
    """Return the messages that the turn after these events begins with."""
    return PastTurns(events).history.messages()


Piece = str | dict[int, DeltaToolCall] | dict[int, DeltaThinkingPart]


class EchoArguments(ToolArguments):
    text: str
    times: int = 1
    suffix: str | None = None


class Change(BaseModel):
    old: str
    new: str


class NoteArguments(ToolArguments):
    path: str
    changes: tuple[Change, ...] = ()


class WaitArguments(ToolArguments):
    seconds: float


@dataclass
class Props:
    """What the tools did, so that tests can tell what really ran."""

    ran: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    def tools(self) -> tuple[AnyTool, ...]:
        async def present_echo(context: ToolContext, a: EchoArguments) -> Presentation:
            return Presentation(title=f"Echo {a.text}", kind="read")

        async def echo(context: ToolContext, a: EchoArguments) -> ToolResult:
            self.ran.append(f"echo {a.text}")
            if a.text == "boom":
                raise ToolError("nothing to echo; give another text")
            if a.text == "bug":
                raise RuntimeError("a bug\nwith lines")
            return ToolResult(a.text * a.times + (a.suffix or ""), await present_echo(context, a))

        async def present_note(context: ToolContext, a: NoteArguments) -> Presentation:
            if a.path == "missing":
                raise ToolError("missing does not exist; list the folder first")
            return Presentation(
                title=f"Edit {a.path}",
                kind="edit",
                content=(DiffContent(path=Path("/p") / a.path, old_text="a", new_text="b"),),
            )

        async def note(context: ToolContext, a: NoteArguments) -> ToolResult:
            self.ran.append(f"note {a.path}")
            return ToolResult(f"edited {a.path}", await present_note(context, a))

        async def present_wait(context: ToolContext, a: WaitArguments) -> Presentation:
            return Presentation(title="Wait", kind="execute")

        async def wait(context: ToolContext, a: WaitArguments) -> ToolResult:
            self.ran.append("wait")
            try:
                for number in range(1000):
                    await context.progress(f"{number}\n")
                    await anyio.sleep(a.seconds / 1000)
            finally:
                self.ended.append("wait")
            return ToolResult("exit code 0", await present_wait(context, a))

        return (
            Tool("echo", "Repeat a text.", EchoArguments, "read", present_echo, echo),
            Tool("note", "Change a note.", NoteArguments, "edit", present_note, note),
            Tool("wait", "Wait.", WaitArguments, "execute", present_wait, wait),
        )


def call(tool: str, arguments: str, call_id: str | None = None, index: int = 0) -> Piece:
    """One whole tool call as a model streams it."""
    return {
        index: DeltaToolCall(
            name=tool, json_args=arguments, tool_call_id=call_id or f"c-{uuid4().hex[:8]}"
        )
    }


def thought(text: str) -> Piece:
    return {99: DeltaThinkingPart(content=text)}


Script = Callable[[int, Sequence[ModelMessage]], Sequence[Piece | float]]


@dataclass
class Recording:
    """A model's requests, as it got them."""

    requests: list[list[ModelMessage]] = field(default_factory=list)


def scripted(
    script: Script, recording: Recording | None = None, window: int | None = None
) -> FunctionModel:
    """A model whose answer is chosen by how many answers the messages hold; floats are pauses."""
    seen = recording if recording is not None else Recording()

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
        seen.requests.append(list(messages))
        done = sum(isinstance(message, ModelResponse) for message in messages)
        for piece in script(done, messages):
            if isinstance(piece, float):
                await anyio.sleep(piece)
            else:
                yield piece

    profile = cast("Any", {"context_window": window} if window is not None else None)
    return FunctionModel(stream_function=stream, profile=profile)


def prompt(text: str) -> UserMessage:
    return UserMessage(message_id=uuid4().hex, blocks=(PromptText(text=text),), text=text)


@dataclass
class Stage:
    """Runs turns and keeps their events, encoded and decoded as a store would."""

    model: FunctionModel
    mode: Mode = "auto"
    answer: str | None = "allow_once"
    max_requests: int = 50
    result_chars: int = 16_000
    props: Props = field(default_factory=Props)
    events: list[TurnEvent] = field(default_factory=list)
    asked: list[PermissionAsked] = field(default_factory=list)
    on_event: Callable[[TurnEvent], None] = lambda event: None

    async def emit(self, event: TurnEvent) -> None:
        await anyio.lowlevel.checkpoint()
        self.events.append(decode_event(encode_event(event)))
        self.on_event(event)

    async def ask(self, asked: PermissionAsked) -> str | None:
        self.asked.append(asked)
        await anyio.lowlevel.checkpoint()
        return self.answer

    def config(self) -> TurnConfig:
        return TurnConfig(
            model=self.model,
            workspace=LocalWorkspace([Path(__file__).parent]),
            reads=ReadLedger(),
            tools=self.props.tools(),
            mode=lambda: self.mode,
            limits=ToolLimits(result_chars=self.result_chars),
            max_requests=self.max_requests,
        )

    async def turn(self, text: str, cancel: CancelSignal | None = None) -> list[TurnEvent]:
        """Run a turn and return its events."""
        start = len(self.events)
        ended = await run_turn(
            self.config(),
            prompt(text),
            PastTurns(self.events),
            emit=self.emit,
            ask=self.ask,
            cancel=cancel or CancelSignal(),
        )
        assert isinstance(ended, TurnEnded)
        assert self.events[-1] == ended
        return self.events[start:]
