"""Hands a turn's events on, in order, and remembers what the turn must still finish."""

from collections.abc import Awaitable, Callable, Sequence

import anyio

from punie.agent.cancel import CancelSignal
from punie.agent.events import (
    PermissionAnswered,
    PermissionAsked,
    ToolFinished,
    ToolStarted,
    TurnEvent,
)
from punie.agent.history import HistoryBuilder
from punie.agent.policy import CANCELLED

Emit = Callable[[TurnEvent], Awaitable[None]]
"""Receives each event; what it raises ends the turn."""


class PastTurns:
    """What the events of a session mean for its next turn.

    They are taken in once, as they come, so that a turn of a long session starts as soon as one of
    a short session.
    """

    def __init__(self, events: Sequence[TurnEvent] = ()) -> None:
        self.history = HistoryBuilder()
        self.call_ids: set[str] = set()
        self._taken = 0
        self.catch_up(events)

    def catch_up(self, events: Sequence[TurnEvent]) -> None:
        """Take in those of the session's events that are new since the last time."""
        for event in events[self._taken :]:
            self.history.add(event)
            if isinstance(event, ToolStarted):
                self.call_ids.add(event.call_id)
        self._taken = len(events)


class Journal:
    """The one way out for events of a turn.

    `history` follows the events, so the model's messages and the stored events cannot differ. A
    cancel of the turn waits until an event is delivered whole. `failed` tells whether delivering
    has failed.
    """

    def __init__(self, emit: Emit, cancel: CancelSignal, past: PastTurns) -> None:
        self._emit = emit
        self._cancel = cancel
        self._lock = anyio.Lock()
        self._open: dict[str, ToolStarted] = {}
        self._asked: set[str] = set()
        self._call_ids = set(past.call_ids)
        self.failed = False
        self.history = past.history.copy()

    async def emit(self, event: TurnEvent) -> None:
        """Deliver the event and remember it."""
        # Held before the lock: between taking it and going on, a cancel could come as well.
        with self._cancel.hold():
            async with self._lock:
                self._note(event)
                try:
                    await self._emit(event)
                except Exception:
                    self.failed = True
                    raise

    def knows_call(self, call_id: str) -> bool:
        """Whether the session has seen a call of this id."""
        return call_id in self._call_ids

    async def finish_open_calls(self, result: str = CANCELLED) -> None:
        """Answer open questions with no, and finish open calls as failed with this result."""
        for call_id in sorted(self._asked):
            await self.emit(PermissionAnswered(call_id=call_id, choice=None, allowed=False))
        for started in list(self._open.values()):
            await self.emit(
                ToolFinished(
                    call_id=started.call_id,
                    status="failed",
                    result=result,
                    presentation=started.presentation,
                )
            )

    def _note(self, event: TurnEvent) -> None:
        match event:
            case ToolStarted():
                self._open[event.call_id] = event
                self._call_ids.add(event.call_id)
            case ToolFinished():
                self._open.pop(event.call_id, None)
            case PermissionAsked():
                self._asked.add(event.call_id)
            case PermissionAnswered():
                self._asked.discard(event.call_id)
            case _:
                pass
        self.history.add(event)
