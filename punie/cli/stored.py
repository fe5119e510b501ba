"""Which stored session a command is about."""

from collections.abc import Callable, Sequence
from pathlib import Path

import anyio

from punie.sessions.store import SessionRecord, SessionStore
from punie.settings import Settings


def stored_sessions(settings: Settings) -> list[SessionRecord]:
    """Return all stored sessions, latest first; raise `StoreError`."""
    if not settings.sessions_file.exists():
        return []
    return anyio.run(SessionStore(settings.sessions_file).list)


def chosen_session(
    records: Sequence[SessionRecord],
    wanted: str | None,
    folder: Path,
    fits: Callable[[SessionRecord], bool] | None = None,
) -> SessionRecord:
    """Return the session whose id begins with `wanted`, else the latest of the folder that `fits`.

    Raises `LookupError` with a sentence if there is none.
    """
    if wanted is not None:
        found = [record for record in records if record.id.startswith(wanted)]
        if len(found) != 1:
            many = "several sessions begin" if found else "no session begins"
            raise LookupError(f"{many} with {wanted!r}.")
        return found[0]
    of_folder = [record for record in records if folder.is_relative_to(record.cwd)]
    if not of_folder:
        raise LookupError(f"no session was opened in {folder} yet; name one with --session.")
    return next((record for record in of_folder if fits is None or fits(record)), of_folder[0])
