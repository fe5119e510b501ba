"""What is remembered of the user's turns between looks: which were deleted, which were kept.

Examples themselves are not stored: they are made of the sessions anew at each look, so that a
session that is deleted takes its examples along. Only what a model has learned from keeps a copy,
see `punie.training.learning.runs`.
"""

import time
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from punie.settings import Settings
from punie.training.data.from_sessions import Collected, FromSessionsOptions, collect
from punie.training.errors import TrainingError
from punie.training.output import write_text
from punie.training.progress import Reporter, Stopped, never, quiet
from punie.training.waiting import locked

KEPT_SECONDS = 24 * 3600.0
"""What is still there so long after a turn counts as kept for good: later work may change it."""

_FILE = "turns.json"


class Ledger(BaseModel):
    """Ids of turns: `deleted` are never taken again, `kept` were kept by the person."""

    model_config = ConfigDict(frozen=True)

    deleted: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()


def learning_folder(settings: Settings) -> Path:
    """Return the folder of all that learning keeps."""
    return settings.state_dir / "learning"


def read_ledger(folder: Path) -> Ledger:
    """Return what is remembered; nothing if there is no file.

    Raises:
        TrainingError: the file cannot be read: it must not be forgotten what was deleted.
    """
    file = folder / _FILE
    try:
        return Ledger.model_validate_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Ledger()
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise TrainingError(
            f"{file} cannot be read, so it is not known which examples were deleted; "
            "correct or remove it."
        ) from error


def remember(folder: Path, *, deleted: Iterable[str] = (), kept: Iterable[str] = ()) -> Ledger:
    """Add to what is remembered; a deleted turn stays deleted.

    Raises:
        TrainingError: it cannot be read or written.
    """
    with locked(folder / ".lock", wait=True, folder_mode=0o700):
        before = read_ledger(folder)
        now = Ledger(deleted=before.deleted | {*deleted}, kept=before.kept | {*kept})
        if now != before:
            plain = {name: sorted(ids) for name, ids in now.model_dump().items()}
            write_text(folder / _FILE, Ledger.model_validate(plain).model_dump_json(indent=1))
        return now


def look(
    options: FromSessionsOptions,
    settings: Settings,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> Collected:
    """Return what there is to learn from, without what was deleted.

    Raises:
        TrainingError: the user has not allowed it, or something cannot be read.
    """
    folder = learning_folder(settings)
    ledger = read_ledger(folder)
    known = {"without": sorted(ledger.deleted), "known_kept": sorted(ledger.kept)}
    found = collect(options.model_copy(update=known), settings, report, stopped)
    settled = time.time() - KEPT_SECONDS
    new = {turn for turn, at in found.kept.items() if at < settled} - ledger.kept
    if new:
        remember(folder, kept=new)
    return found
