"""The user's own accepted turns as examples, with the messages as the model was served them.

Nothing is taken unless the user's own settings file says `learn_from_sessions = true`. Secrets and
who the user is are masked (`punie.training.data.privacy`); nothing that a secret file was part of
is taken at all.
"""

from collections.abc import Sequence
from pathlib import Path

import anyio
from pydantic import ValidationError

from punie.agent.events import TurnEvent, decode_event
from punie.sessions.store import SessionRecord, SessionStore, StoreError
from punie.settings import Settings, user_settings_file
from punie.training.data.dataset import WHOLE, Dataset, Manifest, write_dataset
from punie.training.data.session_examples import (
    Collected,
    FromSessionsOptions,
    Origin,
    SessionExamples,
    forget_privacy,
)
from punie.training.errors import TrainingError
from punie.training.output import refuse_taken
from punie.training.progress import Interrupted, Progress, Reporter, Stopped, never, quiet

__all__ = ["Collected", "FromSessionsOptions", "Origin", "collect", "from_sessions"]


def from_sessions(
    options: FromSessionsOptions,
    settings: Settings,
    out: Path,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> Dataset:
    """Write a dataset of the accepted turns of the user's sessions; it has one part.

    What was left out is counted by reason in the recipe's `dropped`.

    Raises:
        TrainingError: the user has not allowed it, the sessions cannot be read, nothing in them is
            to be taken, or `out` cannot be written.
    """
    refuse_taken(out)
    found = collect(options, settings, report, stopped)
    if not found.examples:
        raise TrainingError(nothing_found(found))
    return write_dataset(out, manifest_of(options, found), {WHOLE: found.examples.values()})


def manifest_of(options: FromSessionsOptions, found: Collected) -> Manifest:
    """Return what is told of a dataset of what was found."""
    ids = {"without", "known_kept"}  # Of what was deleted nothing stays.
    return Manifest(
        made_by="from-sessions",
        recipe={
            **options.model_dump(mode="json", exclude_defaults=True, exclude=ids),
            "dropped": dict(sorted(found.dropped.items())),
        },
        prefixes=found.prefixes,
    )


def collect(
    options: FromSessionsOptions,
    settings: Settings,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> Collected:
    """Return the accepted turns of the user's sessions, oldest session first.

    Raises:
        TrainingError: the user has not allowed it, or the sessions cannot be read.
    """
    check_allowed(settings)
    if not settings.sessions_file.exists():
        return Collected()
    forget_privacy()
    try:
        return anyio.run(_collect, options, settings, report, stopped)
    except StoreError as error:
        raise TrainingError(str(error)) from error


def check_allowed(settings: Settings) -> None:
    """Raise `TrainingError` unless the user's own settings allow to learn from sessions."""
    if not settings.learn_from_sessions:
        raise TrainingError(
            "Nothing is taken from your sessions unless you allow it: write "
            f"`learn_from_sessions = true` into {user_settings_file()}."
        )


def nothing_found(found: Collected) -> str:
    """Say that there was nothing to take, and what kept it from being taken."""
    if not found.dropped:
        return "There is no accepted turn in your sessions yet; work with Punie first."
    reasons = ", ".join(f"{reason}: {count}" for reason, count in found.dropped.most_common())
    return f"No turn of your sessions was taken ({reasons})."


async def _collect(
    options: FromSessionsOptions, settings: Settings, report: Reporter, stopped: Stopped
) -> Collected:
    store = SessionStore(settings.sessions_file)
    found = Collected()
    try:
        records = [r for r in await store.list() if r.prompted and _wanted(r, options)]
        records.sort(key=lambda record: (record.created, record.id))
        for number, record in enumerate(records):
            if stopped():
                raise Interrupted("Stopped while sessions were read; start the command again.")
            report(Progress("reading sessions", number, len(records), "sessions"))
            events = _decoded(await store.events(record.id), found)
            if events is not None:
                await SessionExamples(record, settings, options, found).take(events)
        report(Progress("reading sessions", len(records), len(records), "sessions"))
    finally:
        await store.close()
    return found


def _wanted(record: SessionRecord, options: FromSessionsOptions) -> bool:
    cwd = Path(record.cwd)
    if options.since is not None and record.updated < options.since.astimezone():
        return False
    if any(cwd.is_relative_to(folder) for folder in options.exclude):
        return False
    return not options.include or any(cwd.is_relative_to(folder) for folder in options.include)


def _decoded(lines: Sequence[str], found: Collected) -> list[TurnEvent] | None:
    try:
        return [decode_event(line) for line in lines]
    except ValidationError:
        # Written by a newer version, or spoilt: what the model was served is not known.
        found.dropped["the session cannot be read"] += 1
        return None
