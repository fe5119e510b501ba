"""The sessions that are open in this process, each with everything that belongs to it alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from punie.acp.handshake import ClientProfile
from punie.agent.cancel import CancelSignal
from punie.agent.events import Mode, Thinking, ToolWriting, TurnEvent
from punie.models.catalog import ModelChoice
from punie.settings import Settings
from punie.tools.base import ReadLedger
from punie.tools.mcp.session import McpSession

if TYPE_CHECKING:
    from punie.agent.journal import PastTurns
    from punie.agent.permissions.store import Permissions
    from punie.tools.skills.finding import Skills
    from punie.workspace.checkpoints.workspace import CheckpointedWorkspace


@dataclass(eq=False)
class RunningTurn:
    """The turn that a session runs: how to cancel it, and when it is wholly over."""

    signal: CancelSignal = field(default_factory=CancelSignal)
    over: anyio.Event = field(default_factory=anyio.Event)


@dataclass(eq=False)
class LiveSession:
    """One open session.

    `roots` are the working directory and the additional ones. `model` is the reference of the
    model that the next turn runs on, `choices` are those that are offered; `thinking` is how
    it thinks, of `thinking_levels`, and None where there is nothing to choose. `replaced` holds,
    by option, what the agent itself changed last, as it was before, since a client may still send
    that. `permissions` are the rules of the project. `past` is what earlier turns mean for the
    next one, once there was one; `reading` is where the model reads ahead of it. `turn` is None
    between turns. `events` is the whole history, of which the first `saved` are stored; `unsaved`
    is the reason if saving failed. `order` keeps the events in one order for store and client.
    `writing` are calls that the model is writing. `warned` are the warnings that were told.
    `skills` are those that it is told of, once they were looked for.
    """

    id: str
    cwd: Path
    roots: Sequence[Path]
    profile: ClientProfile
    settings: Settings
    mode: Mode
    model: str
    choices: Sequence[ModelChoice]
    thinking: Thinking | None
    thinking_levels: tuple[Thinking, ...]
    workspace: "CheckpointedWorkspace"
    permissions: "Permissions"
    title: str | None = None
    reads: ReadLedger = field(default_factory=ReadLedger)
    events: list[TurnEvent] = field(default_factory=list)
    replaced: dict[str, TurnEvent] = field(default_factory=dict)
    past: "PastTurns | None" = None
    reading: anyio.CancelScope | None = None
    turn: RunningTurn | None = None
    created: bool = False
    saved: int = 0
    unsaved: str | None = None
    told_unsaved: bool = False
    warned: set[str] = field(default_factory=set)
    mcp: McpSession | None = None
    skills: "Skills | None" = None
    writing: dict[str, ToolWriting] = field(default_factory=dict)
    order: anyio.Lock = field(default_factory=anyio.Lock)

    def cancel(self) -> None:
        """End the running turn; between turns this does nothing."""
        if self.turn is not None:
            self.turn.signal.cancel()

    async def aclose(self) -> None:
        """End what the session started and still holds."""
        if self.reading is not None:
            self.reading.cancel()
        if self.mcp is not None:
            await self.mcp.aclose()
        await self.workspace.aclose()
