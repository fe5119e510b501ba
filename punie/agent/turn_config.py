"""What a turn runs on, and how much the user's settings let it do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from pydantic_ai.models import Model
from pydantic_ai.settings import ModelSettings

from punie.agent.calls import AskUser
from punie.agent.events import Mode, Thinking
from punie.agent.instructions import INSTRUCTIONS
from punie.agent.permissions.store import Permissions
from punie.tools.base import AnyTool, EditChecks, ReadLedger, ToolLimits
from punie.tools.catalog import ALL_TOOLS, UNATTENDED_TOOLS
from punie.tools.code.run_code import run_code_tool
from punie.tools.web_fetch import WEB_FETCH, WEB_FETCH_PRIVATE
from punie.workspace.base import Workspace
from punie.workspace.checkpoints.watching import CommandWatch

__all__ = ["TurnConfig", "model_settings", "turn_config", "turn_tools", "web_tools"]

_DEFAULT_LIMITS = ToolLimits()


@dataclass(frozen=True)
class TurnConfig:
    """What a turn runs on.

    `mode` is read before every call, so it may change during the turn. `max_requests` bounds the
    model calls of the turn; `max_tokens` is per response. `thinking` switches the model's thinking,
    or says how hard it is to think, where it can be chosen. None leaves these to the model.
    `ask_user` is how the model's own questions reach the person; None if nobody is there.
    `permissions` are the project's rules; without them no answer is remembered. `guide_tokens` is
    about how much of each guide is told, 0 for none; the user's own is in `user_folder`.
    `watch` keeps what the turn's changes replace. `check_edits` is what `ToolContext` says of it.
    `warned` is what the person has been told once in the session and need not hear again.
    """

    model: Model
    workspace: Workspace
    reads: ReadLedger
    tools: Sequence[AnyTool]
    mode: Callable[[], Mode]
    limits: ToolLimits = _DEFAULT_LIMITS
    max_requests: int = 50
    max_tokens: int | None = None
    temperature: float | None = None
    thinking: Thinking | None = None
    ask_user: AskUser | None = None
    permissions: Permissions | None = None
    guide_tokens: int = 0
    user_folder: Path | None = None
    instructions: str = INSTRUCTIONS
    watch: CommandWatch | None = None
    warned: set[str] = field(default_factory=set)
    check_edits: EditChecks = "in_time"

    @property
    def request_settings(self) -> ModelSettings:
        """What every request of the turn is made with."""
        return model_settings(self.thinking, self.max_tokens, self.temperature)


class TurnSettings(Protocol):
    """The user's settings that a turn needs; times in seconds, None leaves it to the model."""

    @property
    def command_timeout(self) -> float: ...
    @property
    def result_chars(self) -> int | None: ...
    @property
    def max_requests(self) -> int: ...
    @property
    def max_tokens(self) -> int: ...
    @property
    def temperature(self) -> float | None: ...
    @property
    def code_mode(self) -> bool: ...
    @property
    def guide_tokens(self) -> int: ...
    @property
    def web_fetch(self) -> bool: ...
    @property
    def web_fetch_private(self) -> bool: ...


def turn_config(
    settings: TurnSettings,
    model: Model,
    workspace: Workspace,
    reads: ReadLedger,
    mode: Callable[[], Mode],
    *,
    thinking: Thinking | None = None,
    ask_user: AskUser | None = None,
    more_tools: Sequence[AnyTool] = (),
    permissions: Permissions | None = None,
    user_folder: Path | None = None,
    watch: CommandWatch | None = None,
    warned: set[str] | None = None,
) -> TurnConfig:
    """Return what a turn with all tools, and more, runs on, bounded as the settings say.

    `user_folder` is where the user's settings and own guide are.
    """
    limits = ToolLimits(command_seconds=settings.command_timeout)
    if settings.result_chars is not None:
        limits = replace(limits, result_chars=settings.result_chars)
    return TurnConfig(
        model=model,
        workspace=workspace,
        reads=reads,
        tools=turn_tools(
            (*web_tools(settings), *more_tools),
            attended=ask_user is not None,
            code_mode=settings.code_mode,
        ),
        mode=mode,
        limits=limits,
        max_requests=settings.max_requests,
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
        thinking=thinking,
        ask_user=ask_user,
        permissions=permissions,
        guide_tokens=settings.guide_tokens,
        user_folder=user_folder,
        watch=watch,
        warned=set() if warned is None else warned,
    )


def model_settings(
    thinking: Thinking | None, max_tokens: int | None = None, temperature: float | None = None
) -> ModelSettings:
    """Return the settings of a turn's requests; what is None is left to the model."""
    settings = ModelSettings()
    if max_tokens is not None:
        settings["max_tokens"] = max_tokens
    if temperature is not None:
        settings["temperature"] = temperature
    if thinking is not None:
        settings["thinking"] = thinking
    return settings


def web_tools(settings: TurnSettings) -> tuple[AnyTool, ...]:
    """Return the tools that reach the web, where the user wants them."""
    if not settings.web_fetch:
        return ()
    return (WEB_FETCH_PRIVATE if settings.web_fetch_private else WEB_FETCH,)


def turn_tools(
    more_tools: Sequence[AnyTool], *, attended: bool, code_mode: bool
) -> tuple[AnyTool, ...]:
    """Return all tools of a turn; `attended` tells that somebody can answer questions.

    In code mode there is one, whose code calls all others.
    """
    tools = (*(ALL_TOOLS if attended else UNATTENDED_TOOLS), *more_tools)
    return (run_code_tool(tools),) if code_mode else tools
