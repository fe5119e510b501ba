"""Which stored session a command is about."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
import typer

from punie.cli.help import say
from punie.cli.settings import settings_for
from punie.sessions.store import SessionRecord, SessionStore, StoreError
from punie.settings import Settings

Fits = Callable[[Settings, SessionRecord], bool]
"""Tells whether a session has what a command is about."""


def asked_session(
    wanted: str | None, project: Path | None, state_dir: Path | None, fits: Fits | None = None
) -> tuple[Settings, SessionRecord]:
    """Return the settings and the session that the options of a command mean.

    What is wrong is said, and the command ended: with 2 for settings, with 1 if there is none.
    """
    settings = settings_for(state_dir=state_dir)
    folder = Path(os.path.abspath(project or Path.cwd()))  # noqa: PTH100, keeps links
    try:
        records = _stored_sessions(settings)
        return settings, _chosen_session(
            records, wanted, folder, lambda record: fits is None or fits(settings, record)
        )
    except StoreError as error:
        say(str(error))
    except LookupError as error:
        say(str(error.args[0]))
    raise typer.Exit(1) from None


def _stored_sessions(settings: Settings) -> list[SessionRecord]:
    if not settings.sessions_file.exists():
        return []
    return anyio.run(SessionStore(settings.sessions_file).list)


def _chosen_session(
    records: Sequence[SessionRecord],
    wanted: str | None,
    folder: Path,
    fits: Callable[[SessionRecord], bool],
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
    return next((record for record in of_folder if fits(record)), of_folder[0])
