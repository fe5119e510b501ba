"""Letting a teacher do a task in the product's own turn: real tools, real permission, real results.

The messages of the conversation are those that a model is served, because the turn that serves it
makes them.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.messages import ModelMessage, ModelRequest, ToolReturnPart
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.settings import ModelSettings

from punie.agent.cancel import CancelSignal
from punie.agent.events import (
    Notice,
    PermissionAsked,
    PromptText,
    ToolFinished,
    ToolStarted,
    TurnEvent,
    UserMessage,
)
from punie.agent.journal import PastTurns
from punie.agent.permissions.choices import ALLOW_ONCE, REJECT_ONCE
from punie.agent.turn import run_turn
from punie.agent.turn_config import TurnConfig
from punie.models.scripted import ScriptedCall, ScriptedResponse, ScriptedStream
from punie.models.streaming import StreamingModel
from punie.tools.base import AnyTool, ReadLedger, ToolLimits
from punie.training.generator.answers import Call, Teacher
from punie.workspace.base import Workspace


class RolloutError(Exception):
    """A teacher's turn did not go its way to the end: the generator's fault, never the tools'."""


@dataclass(frozen=True)
class Transcript:
    """What was done in one turn.

    `calls` are those of the model itself and `results` what it read of each; `inner` are the calls
    that code made, with what came of them.
    """

    calls: tuple[Call, ...]
    answer: str
    results: tuple[str, ...] = ()
    inner: tuple[Call, ...] = ()
    inner_results: tuple[str, ...] = ()


@dataclass
class Conversation:
    """A conversation in a workspace, which goes on turn by turn.

    `limits`, `tools` and everything else are as the product has them; checks of edits run to their
    end, because what they had time for is not the same every time.
    """

    workspace: Workspace
    tools: Sequence[AnyTool]
    limits: ToolLimits
    reads: ReadLedger = field(default_factory=ReadLedger)
    events: list[TurnEvent] = field(default_factory=list)

    def config(self, model: Model, *, deny: bool = False, **more: Any) -> TurnConfig:
        """Return what a turn runs on; with `deny` the person is asked, and says no."""
        return TurnConfig(
            model=model,
            workspace=self.workspace,
            reads=self.reads,
            tools=self.tools,
            mode=lambda: "ask" if deny else "auto",
            limits=self.limits,
            check_edits="whole",
            **more,
        )

    async def turn(
        self, model: Model, prompt: str, *, deny: bool = False, **more: Any
    ) -> list[TurnEvent]:
        """Let a model answer a prompt and return the events of the turn."""
        past = PastTurns(self.events)
        events: list[TurnEvent] = []

        async def emit(event: TurnEvent) -> None:
            events.append(event)

        async def ask(question: PermissionAsked) -> str | None:
            return REJECT_ONCE if deny else ALLOW_ONCE

        message = UserMessage(
            message_id=f"m{len(self.events)}", blocks=(PromptText(text=prompt),), text=prompt
        )
        config = self.config(model, deny=deny, **more)
        await run_turn(config, message, past, emit=emit, ask=ask, cancel=CancelSignal())
        self.events += events
        return events

    async def follow(self, teacher: Teacher, prompt: str, *, deny: bool = False) -> Transcript:
        """Let a teacher answer a prompt.

        Raises `RolloutError` if the turn was ended before the teacher had answered.
        """
        model = TeacherModel(teacher)
        events = await self.turn(model, prompt, deny=deny)
        errors = [event.text for event in events if isinstance(event, Notice)]
        if model.answer is None or errors:
            raise RolloutError("; ".join(errors) or "the turn ended before the answer")
        return transcript(events, model.answer)


def transcript(events: Sequence[TurnEvent], answer: str) -> Transcript:
    """Return what was done in a turn."""
    results = {each.call_id: each.result for each in events if isinstance(each, ToolFinished)}
    started = [each for each in events if isinstance(each, ToolStarted)]
    own = [each for each in started if each.parent is None]
    inner = [each for each in started if each.parent is not None]
    return Transcript(
        calls=tuple(Call(each.tool, dict(each.arguments)) for each in own),
        results=tuple(results[each.call_id] for each in own),
        inner=tuple(Call(each.tool, dict(each.arguments)) for each in inner),
        inner_results=tuple(results[each.call_id] for each in inner),
        answer=answer,
    )


class TeacherModel(StreamingModel):
    """A model that says what a teacher says, who reads what the tools returned."""

    def __init__(self, teacher: Teacher) -> None:
        super().__init__(
            profile=ModelProfile(
                supports_tools=True,
                supports_inline_system_prompts=True,
                default_framing_announcement="never",
            )
        )
        self._teacher = teacher
        self._begun = False
        self.answer: str | None = None

    @property
    def model_name(self) -> str:
        """A name for messages."""
        return "teacher"

    @property
    def system(self) -> str:
        """A provider's name for messages."""
        return "scripted"

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Give the teacher's next call or its answer."""
        _, parameters = self.prepare_request(model_settings, model_request_parameters)
        yield ScriptedStream(
            model_request_parameters=parameters,
            response=self._next(messages[-1]),
            name=self.model_name,
            prompt_tokens=0,
        )

    def _next(self, last: ModelMessage) -> ScriptedResponse:
        try:
            if not self._begun:
                self._begun = True
                call = next(self._teacher)
            else:
                call = self._teacher.send(_result(last))
        except StopIteration as stop:
            self.answer = stop.value
            return ScriptedResponse(text=stop.value, chunks=1)
        return ScriptedResponse(calls=(ScriptedCall(tool=call.tool, arguments=call.arguments),))


def _result(message: ModelMessage) -> str:
    if isinstance(message, ModelRequest):
        for part in message.parts:
            if isinstance(part, ToolReturnPart):
                return part.model_response_str()
    raise RolloutError("a call came back without a result")
