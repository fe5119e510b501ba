"""Ending a turn from outside, at any moment and as often as one likes."""

from collections.abc import Iterator
from contextlib import contextmanager

import anyio


class CancelSignal:
    """Cancels one turn. Call `cancel` from the event loop's thread.

    A cancel before the turn starts ends it at once; one after its end does nothing. Create a new
    signal for every turn, so that a late cancel can never reach the next one.
    """

    def __init__(self) -> None:
        self._requested = False
        self._scope: anyio.CancelScope | None = None
        self._held = 0

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._requested

    def cancel(self) -> None:
        """Ask the turn to end; the model's stream and running tools stop at once."""
        self._requested = True
        if self._held == 0 and self._scope is not None:
            self._scope.cancel()

    @contextmanager
    def watching(self) -> Iterator[anyio.CancelScope]:
        """Run the body in a scope that `cancel` cancels; nothing is raised at its end."""
        with anyio.CancelScope() as scope:
            self._scope = scope
            if self._requested:
                scope.cancel()
            try:
                yield scope
            finally:
                self._scope = None

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Put a cancel off until the body is done, so that an event is never half delivered."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            if self._held == 0 and self._requested and self._scope is not None:
                self._scope.cancel()
