"""Saves what happens in a session, and reads it back; trouble with the disk never ends a turn."""

from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio.to_thread
from pydantic import ValidationError

from punie.acp.sessions import LiveSession
from punie.agent.events import TurnEvent, UserMessage, decode_event, encode_event
from punie.logs.setup import get_logger

if TYPE_CHECKING:
    from punie.sessions.store import Position, SessionRecord, SessionStore

Result = TypeVar("Result")

ADDITIONAL = "additional_directories"
"""The key of a stored session's further roots."""

UNSAVED = (
    "The history of this session is not being saved, because {}; "
    "it will be gone when the IDE or Punie is restarted."
)
_log = get_logger(__name__)


class HistoryUnavailable(Exception):  # noqa: N818 - it names a state, as the user reads it
    """The history cannot be read; the message is one sentence."""


class SavedHistory:
    """The session store, opened when it is first needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._store: SessionStore | None = None

    async def create(self, session: LiveSession) -> None:
        """Save a new session; if that fails, the session goes on unsaved."""
        await self._save(session)

    async def record(self, session: LiveSession, event: TurnEvent) -> None:
        """Add an event to the session and save it.

        After trouble the next prompt tries again, with all that was not saved until then.
        """
        session.events.append(event)
        if session.unsaved is None or isinstance(event, UserMessage):
            await self._save(session)

    async def add(self, session: LiveSession, event: TurnEvent) -> None:
        """Record an event that is not shown, in its order with those that are."""
        async with session.order:
            with anyio.CancelScope(shield=True):
                await self.record(session, event)

    async def name(self, session: LiveSession, title: str) -> None:
        """Save the session's title, under which lists show it."""
        session.title = title
        if session.unsaved is None:
            with suppress(HistoryUnavailable):
                await self._reach(lambda store: store.update(session.id, title=title))

    async def note(self, session: LiveSession, **meta: Any) -> None:
        """Save what else is to be known of the session, as JSON values by name."""
        if session.unsaved is None:
            with suppress(HistoryUnavailable):
                await self._reach(lambda store: store.update(session.id, meta=meta))

    async def read(self, session_id: str) -> "tuple[SessionRecord, list[TurnEvent]] | None":
        """Return a stored session with its events, or None; raise `HistoryUnavailable`."""
        record = await self._reach(lambda store: store.get(session_id))
        if record is None:
            return None
        lines = await self._reach(lambda store: store.events(session_id))
        return record, await anyio.to_thread.run_sync(_decode_all, lines)

    async def page(
        self, cwd: str | None, after: "Position | None", limit: int, live: Collection[str]
    ) -> "list[SessionRecord]":
        """Return stored sessions, latest first; unused ones only if they are `live`.

        Raises `HistoryUnavailable`.
        """
        return await self._reach(
            lambda store: store.list(cwd, after=after, limit=limit, unprompted=live)
        )

    async def fork(self, session_id: str, new_id: str, cwd: str, meta: dict[str, Any]) -> bool:
        """Copy a stored session; tell whether it was there. Raises `HistoryUnavailable`."""
        if await self._reach(lambda store: store.get(session_id)) is None:
            return False
        await self._reach(lambda store: store.fork(session_id, new_id, cwd, meta))
        return True

    async def delete(self, session_id: str) -> None:
        """Delete a stored session if there is one; raise `HistoryUnavailable`."""
        await self._reach(lambda store: store.delete(session_id))

    async def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            await self._store.close()

    async def _reach(self, work: "Callable[[SessionStore], Awaitable[Result]]") -> Result:
        from punie.sessions.store import StoreError

        try:
            return await work(self._open())
        except StoreError as error:
            raise HistoryUnavailable(str(error)) from error

    async def _save(self, session: LiveSession) -> None:
        from punie.sessions.store import StoreError

        try:
            store = self._open()
            if not session.created:
                await store.create(session.id, str(session.cwd), session_meta(session))
                session.created = True
            while session.saved < len(session.events):
                event = session.events[session.saved]
                await store.append(session.id, event.kind, encode_event(event))
                session.saved += 1
            session.unsaved = None
        except StoreError as error:
            _log.warning("history not saved", session=session.id, reason=str(error))
            session.unsaved = str(error)

    def _open(self) -> "SessionStore":
        if self._store is None:
            from punie.sessions.store import SessionStore

            self._store = SessionStore(self._path)
        return self._store


def session_meta(session: LiveSession) -> dict[str, Any]:
    """Return what is stored beside a session's events."""
    return {
        "mode": session.mode,
        "model": session.model,
        "thinking": session.thinking,
        ADDITIONAL: [str(root) for root in session.roots[1:]],
    }


def _decode_all(lines: list[str]) -> list[TurnEvent]:
    events: list[TurnEvent] = []
    for line in lines:
        try:
            events.append(decode_event(line))
        except ValidationError:
            # Written by a version that knows more than this one.
            _log.warning("stored event skipped")
    return events
