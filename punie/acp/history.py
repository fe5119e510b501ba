"""Saves what happens in a session, and reads it back; trouble with the disk never ends a turn."""

from pathlib import Path
from typing import TYPE_CHECKING

import anyio.to_thread
from pydantic import ValidationError

from punie.acp.sessions import LiveSession
from punie.agent.events import TurnEvent, UserMessage, decode_event, encode_event
from punie.logs.setup import get_logger

if TYPE_CHECKING:
    from punie.sessions.store import SessionRecord, SessionStore

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

    async def read(self, session_id: str) -> "tuple[SessionRecord, list[TurnEvent]] | None":
        """Return a stored session with its events, or None; raise `HistoryUnavailable`."""
        from punie.sessions.store import StoreError

        try:
            store = self._open()
            record = await store.get(session_id)
            if record is None:
                return None
            lines = await store.events(session_id)
        except StoreError as error:
            raise HistoryUnavailable(str(error)) from error
        return record, await anyio.to_thread.run_sync(_decode_all, lines)

    async def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            await self._store.close()

    async def _save(self, session: LiveSession) -> None:
        from punie.sessions.store import StoreError

        try:
            store = self._open()
            if not session.created:
                await store.create(
                    session.id, str(session.cwd), {"mode": session.mode, "model": session.model}
                )
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


def _decode_all(lines: list[str]) -> list[TurnEvent]:
    events: list[TurnEvent] = []
    for line in lines:
        try:
            events.append(decode_event(line))
        except ValidationError:
            # Written by a version that knows more than this one.
            _log.warning("stored event skipped")
    return events
