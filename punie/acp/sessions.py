"""The sessions that are open in this process, each with everything that belongs to it alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from punie.agent.cancel import CancelSignal
from punie.agent.events import Mode, TurnEvent
from punie.models.catalog import ModelChoice
from punie.settings import Settings
from punie.tools.base import ReadLedger
from punie.workspace.base import Workspace


@dataclass(eq=False)
class LiveSession:
    """One open session.

    `model` is the reference of the model that the next turn runs on, `choices` are those that are
    offered. `turn` cancels the running turn and is None between turns. `events` is the whole
    history, of which the first `saved` are stored; `unsaved` is the reason if saving failed.
    `order` keeps the events in one order for the store and for the client.
    """

    id: str
    cwd: Path
    settings: Settings
    mode: Mode
    model: str
    choices: Sequence[ModelChoice]
    workspace: Workspace
    reads: ReadLedger = field(default_factory=ReadLedger)
    events: list[TurnEvent] = field(default_factory=list)
    turn: CancelSignal | None = None
    created: bool = False
    saved: int = 0
    unsaved: str | None = None
    told_unsaved: bool = False
    order: anyio.Lock = field(default_factory=anyio.Lock)

    def cancel(self) -> None:
        """End the running turn; between turns this does nothing."""
        if self.turn is not None:
            self.turn.cancel()
