"""When and what of the prefix cache is saved: in quiet times, and at the end."""

import time
from collections.abc import Sequence

from punie.models.mlx.prefixes.entry import Entry, Kind
from punie.models.mlx.prefixes.layers import Layers, UnknownLayerError
from punie.models.mlx.prefixes.store import PrefixStore, SaveJob

_LEAST_TOKENS = 256
_LEAST_PART = 20
"""A session is saved again in a quiet time when it has grown by this many tokens, and by one
part in that many; the rest waits for the end. All of it is written each time."""

_CANCEL_SECONDS = 0.1


class PrefixSaver:
    """Hands entries to the store's writer, one at a time; belongs to the engine's thread."""

    def __init__(self, store: PrefixStore, quiet_seconds: float) -> None:
        self._store = store
        self._quiet_seconds = quiet_seconds
        self._last_use = time.monotonic()
        self._running: tuple[SaveJob, Entry] | None = None

    def touch(self) -> None:
        """Take note that the cache is in use."""
        self._last_use = time.monotonic()

    def leave(self, entry: Entry) -> None:
        """Give up saving an entry that is to be used or dropped."""
        if self._running is not None and self._running[1] is entry:
            job = self._running[0]
            job.cancel()
            # Until the writer lets go of the arrays, whoever writes to them copies them.
            if job.done.wait(_CANCEL_SECONDS):
                self._running = None

    def idle(self, entries: Sequence[Entry]) -> bool:
        """Start or finish one piece of work; return whether there is more."""
        if not self._settle(0):
            return True
        due = self._due(entries, at_end=False)
        if due is None:
            return False
        if time.monotonic() - self._last_use >= self._quiet_seconds:
            self._start(due, entries)
        return True

    def flush(self, entries: Sequence[Entry], seconds: float) -> bool:
        """Save everything that is not saved yet and end the writer; return whether it is done."""
        deadline = time.monotonic() + seconds
        complete = True
        while self._settle(deadline - time.monotonic()):
            due = self._due(entries, at_end=True)
            if due is None:
                break
            self._start(due, entries)
        else:
            complete = False
            if self._running is not None:
                self._running[0].cancel()
        self._store.close(max(_CANCEL_SECONDS, deadline - time.monotonic()))
        return complete

    def _settle(self, seconds: float) -> bool:
        """Wait for the writer at most that long; return whether it is free."""
        if self._running is None:
            return True
        job, entry = self._running
        if not job.done.wait(max(0.0, seconds)):
            return False
        # What could not be written now cannot be written in a moment either.
        entry.is_settled = not job.is_cancelled()
        self._running = None
        return True

    def _due(self, entries: Sequence[Entry], *, at_end: bool) -> Entry | None:
        for entry in sorted(entries, key=lambda entry: entry.kind != "system"):
            if entry.is_settled or entry.kind in ("turn", "message"):
                continue
            if entry.kind == "session":
                if entry.owner is None:
                    continue
                length = len(entry.tokens)
                new = length - self._store.covered(entry.tokens, entry.owner)
                if not at_end and new < max(_LEAST_TOKENS, length // _LEAST_PART):
                    continue
            if self._store.contains(entry.tokens, entry.kind, entry.owner):
                entry.is_settled = True
                continue
            return entry
        return None

    def _start(self, entry: Entry, entries: Sequence[Entry]) -> None:
        # The checkpoints that use its buffers cost little more than their running states.
        carrier = entry.carrier or entry
        states: list[tuple[int, Kind, Layers]] = [
            (len(entry.tokens), entry.kind, entry.layers),
            *(
                (len(other.tokens), other.kind, other.layers)
                for other in entries
                if other.owner == entry.owner
                and other.kind in ("turn", "message")
                and other.carrier is carrier
                and len(other.tokens) < len(entry.tokens)
            ),
        ]
        try:
            job = self._store.prepare(entry.tokens, entry.owner, states)
        except UnknownLayerError:
            entry.is_settled = True
            return
        self._running = job, entry
        self._store.start(job)
