"""Which outputs of a store nobody needs any more."""

import time
from dataclasses import dataclass
from pathlib import Path

from punie.models.made import made_models
from punie.training.errors import TrainingError
from punie.training.pipeline.runs import is_running, read_run, run_names
from punie.training.pipeline.store import Store, folder_bytes

_DAY = 86_400.0


@dataclass(frozen=True)
class Unneeded:
    """A step that no pipeline named lately: its key, size in bytes, and what it was if it ended."""

    key: str
    bytes: int
    what: str


def unneeded(store: Store, days: float, keep: tuple[Path, ...] = ()) -> list[Unneeded]:
    """Return the steps that no pipeline used within so many days.

    Those of a pipeline that runs, those of models that have a name, and those that the folders of
    `keep` lie in are needed.
    """
    since = time.time() - days * _DAY
    needed: set[str] = set()
    for name in run_names(store):
        try:
            run = read_run(store, name)
        except TrainingError:
            continue
        if run.used >= since or is_running(store, name):
            needed |= {step.key for step in run.steps if step.key is not None}
    steps = (store.folder / "steps").resolve()
    for folder in (*(folder for _, folder in made_models()), *keep):
        if folder.resolve().is_relative_to(steps):
            needed.add(folder.resolve().relative_to(steps).parts[0])
    found = []
    for key in store.all_keys():
        if key in needed or store.is_busy(key):
            continue
        record = store.record(key)
        what = "unfinished" if record is None else f"{record.kind} ({record.name})"
        found.append(Unneeded(key, folder_bytes(store.step(key)), what))
    return found
