"""Hands a turn's events on, in order, and remembers what the turn must still finish."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from uuid import uuid4

import anyio

from punie.agent.cancel import CancelSignal
from punie.agent.events import (
    PermissionAnswered,
    PermissionAsked,
    ToolFinished,
    ToolStarted,
    ToolUnwritten,
    ToolWriting,
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

    def __init__(self, events: Sequence[TurnEvent] = (), *, call_ids: Iterable[str] = ()) -> None:
        """`call_ids` are ids of calls that are taken besides those of the events."""
        self.history = HistoryBuilder()
        self.call_ids: set[str] = set(call_ids)
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
        self._writing: set[str] = set()
        self._asked: set[str] = set()
        self._call_ids = set(past.call_ids)
        self.failed = False
        self.history = past.history.copy()

    @property
    def call_ids(self) -> frozenset[str]:
        """The ids of all calls that the session has seen."""
        return frozenset(self._call_ids)

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

    def new_call_id(self, call_id: str) -> str:
        """Return the id, or one like it where the session has seen a call of this id.

        Some models count their calls anew in every response; front ends need unique ids.
        """
        if call_id and call_id not in self._call_ids:
            return call_id
        return f"{call_id}-{uuid4().hex[:12]}".lstrip("-")

    async def finish_open_calls(self, result: str = CANCELLED) -> None:
        """Answer open questions with no, and finish open calls as failed with this result.

        Calls that are still being written are taken back.
        """
        for call_id in sorted(self._writing):
            await self.emit(ToolUnwritten(call_id=call_id))
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
            case ToolWriting():
                self._writing.add(event.call_id)
                self._call_ids.add(event.call_id)
            case ToolUnwritten():
                self._writing.discard(event.call_id)
            case ToolStarted():
                self._writing.discard(event.call_id)
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
