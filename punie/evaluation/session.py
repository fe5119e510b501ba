"""A model at work on one task: the real agent with the real tools, in a project of its own."""

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from punie.agent.cancel import CancelSignal
from punie.agent.events import (
    Notice,
    PermissionAsked,
    PromptText,
    ResponseCut,
    ToolRunning,
    ToolStarted,
    TurnEvent,
    UserMessage,
)
from punie.agent.journal import PastTurns
from punie.agent.turn import run_turn
from punie.agent.turn_config import TurnConfig
from punie.evaluation.work import Work
from punie.models.mlx.chat.messages import MALFORMED
from punie.tools.base import AnyTool, ReadLedger, ToolLimits
from punie.training.data.example import Function, Message
from punie.training.data.served import messages_after
from punie.workspace.base import CommandRequest, WorkspaceError
from punie.workspace.local import LocalWorkspace
from punie.workspace.sandbox.view import SandboxOptions

CONFINED = SandboxOptions(wanted="always")
"""Nobody watches what a model under test runs, so it runs in a sandbox."""

_IGNORED = frozenset(
    {".git", "__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache", ".idea"}
)
_TEST_SECONDS = 60.0
_STAND_IN = "/project"


@dataclass(frozen=True)
class Conditions:
    """How a model works: its tools, their limits, and what a turn and an answer may take."""

    tools: Sequence[AnyTool]
    limits: ToolLimits
    max_requests: int
    max_tokens: int
    temperature: float
    seed: int | None = None


@dataclass
class _Watched(WrapperModel):
    """A model whose responses are kept, and whose sampling begins with a seed."""

    responses: list[ModelResponse] = field(default_factory=list)
    seed: int | None = None

    def __init__(self, wrapped: Model, seed: int | None) -> None:
        super().__init__(wrapped)
        self.responses = []
        self.seed = seed

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        settings = ModelSettings(**(model_settings or {}))
        if self.seed is not None:
            settings["seed"] = self.seed + len(self.responses)
        async with self.wrapped.request_stream(
            messages, settings, model_request_parameters, run_context
        ) as stream:
            yield stream
            self.responses.append(stream.get())


async def let_model_work(
    model: Model, root: Path, prompt: str, conditions: Conditions, allowed: Sequence[Function]
) -> Work:
    """Give a model one prompt in the project at `root`, and return what it did.

    Commands run confined; where no sandbox works only those of `allowed` calls run.
    """
    events: list[TurnEvent] = []
    watched = _Watched(model, conditions.seed)

    async def emit(event: TurnEvent) -> None:
        events.append(event)

    async def ask(question: PermissionAsked) -> str | None:
        asked = next(
            event
            for event in reversed(events)
            if isinstance(event, ToolStarted) and event.call_id == question.call_id
        )
        is_due = Function(name=asked.tool, arguments=asked.arguments) in allowed
        wanted = "allow_once" if is_due else "reject_once"
        return next(choice.id for choice in question.choices if choice.kind == wanted)

    workspace = LocalWorkspace([root], CONFINED)
    config = TurnConfig(
        model=watched,
        workspace=workspace,
        reads=ReadLedger(),
        tools=conditions.tools,
        mode=lambda: "auto",
        limits=conditions.limits,
        max_requests=conditions.max_requests,
        max_tokens=conditions.max_tokens,
        temperature=conditions.temperature,
        check_edits="whole",
    )
    message = UserMessage(message_id="m", blocks=(PromptText(text=prompt),), text=prompt)
    try:
        ended = await run_turn(
            config, message, PastTurns(), emit=emit, ask=ask, cancel=CancelSignal()
        )
    finally:
        await workspace.aclose()
    troubles = [e.text for e in events if isinstance(e, Notice) and e.severity == "error"]
    return Work(
        messages=trajectory(events, root),
        files=project_files(root),
        stop=ended.stop_reason,
        malformed=sum(map(_malformed_calls, watched.responses)),
        not_run=_calls_that_did_not_run(events),
        cut=any(isinstance(event, ResponseCut) for event in events),
        requests=len(watched.responses),
        tokens=sum(response.usage.output_tokens for response in watched.responses),
        trouble=troubles[0] if troubles else "",
    )


def trajectory(events: Sequence[TurnEvent], root: Path) -> tuple[Message, ...]:
    """Return a turn as messages; the project's own path is the same in all of them."""
    found = messages_after(events)
    whole = re.compile(re.escape(str(root)))
    return tuple(
        message.model_copy(update={"content": whole.sub(_STAND_IN, message.content)})
        for message in found
    )


def project_files(root: Path) -> dict[str, bytes]:
    """Return a project's files by path, without what programs leave behind."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not _IGNORED & set(path.relative_to(root).parts)
    }


async def passes_tests(root: Path) -> bool:
    """Tell whether a project's tests pass, run confined."""
    workspace = LocalWorkspace([root], CONFINED)
    try:
        asked = CommandRequest("python3 -m pytest -q", root, _TEST_SECONDS)
        return (await workspace.run(asked)).exit_code == 0
    except WorkspaceError:
        return False
    finally:
        await workspace.aclose()


def _calls_that_did_not_run(events: Sequence[TurnEvent]) -> int:
    ran = {event.call_id for event in events if isinstance(event, ToolRunning)}
    return sum(isinstance(event, ToolStarted) and event.call_id not in ran for event in events)


def _malformed_calls(response: ModelResponse) -> int:
    return sum(
        isinstance(part, ToolCallPart)
        and (
            MALFORMED in (part.provider_details or {})
            or (isinstance(part.args, str) and part.args.startswith(MALFORMED))
        )
        for part in response.parts
    )
