"""What was learned so far: each run with a copy of its examples, and which of them is in use."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from punie.training.data.dataset import Dataset, open_dataset, write_files
from punie.training.data.from_sessions import Collected, FromSessionsOptions, Origin, manifest_of
from punie.training.errors import TrainingError
from punie.training.output import output_folder, write_text
from punie.training.pipeline.store import Store

RunState = Literal["begun", "failed", "stopped", "learned"]

PART = "train"
"""The part of a kept dataset: all of it is learned, and generated examples tell what it does."""

_RUN = "run.json"
_ACTIVE = "active.json"
_EXAMPLES = "examples"
_ORIGINS = "origins.json"
_ORIGIN_TYPE = TypeAdapter(dict[str, Origin])


class LearningRun(BaseModel):
    """One run of learning.

    Attributes:
        name: made of what goes in, so that the same examples are learned once.
        key: hash of the options and the base.
        base: reference of the model that it began with.
        started: seconds since 1970.
        examples: how many of the user's own.
        dataset: hash of these.
        state: how far it came.
        sentence: why it failed.
        model: folder of what came out.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    key: str = ""
    base: str
    started: float
    examples: int
    dataset: str
    state: RunState = "begun"
    sentence: str = ""
    model: str | None = None


class Active(BaseModel):
    """The run whose model is in use, and the model that was chosen before; None for none."""

    model_config = ConfigDict(frozen=True)

    run: str
    before: str | None


def store_of(folder: Path) -> Store:
    """Return the store of the steps of all runs; no other pipeline's outputs are in it."""
    return Store(folder / "store")


def run_folder(folder: Path, name: str) -> Path:
    """Return the folder of a run."""
    return folder / "runs" / name


def read_runs(folder: Path) -> list[LearningRun]:
    """Return all runs, the oldest first; what cannot be read is none."""
    found = []
    for file in (folder / "runs").glob(f"*/{_RUN}"):
        try:
            found.append(LearningRun.model_validate_json(file.read_text(encoding="utf-8")))
        except (OSError, ValidationError):
            continue
    return sorted(found, key=lambda run: (run.started, run.name))


def write_run(folder: Path, run: LearningRun) -> None:
    """Write down how a run is; raise `TrainingError`."""
    run_folder(folder, run.name).mkdir(parents=True, exist_ok=True)
    write_text(run_folder(folder, run.name) / _RUN, run.model_dump_json(indent=1) + "\n")


def keep_examples(
    folder: Path, name: str, options: FromSessionsOptions, found: Collected
) -> Dataset:
    """Keep a copy of what a run learns from; raise `TrainingError`."""
    place = run_folder(folder, name) / _EXAMPLES
    if not place.exists():
        with output_folder(place) as unfinished:
            write_files(unfinished, manifest_of(options, found), {PART: found.examples.values()})
            origins = {key: origin.model_dump(mode="json") for key, origin in found.origins.items()}
            (unfinished / _ORIGINS).write_text(json.dumps(origins), encoding="utf-8")
    return open_dataset(place)


def kept_examples(folder: Path, name: str) -> Dataset:
    """Return what a run learned from; raise `TrainingError`."""
    return open_dataset(run_folder(folder, name) / _EXAMPLES)


def kept_origins(folder: Path, name: str) -> Mapping[str, Origin]:
    """Return of what the examples of a run were made, by their ids.

    Raises:
        TrainingError: it cannot be read: then nobody could tell what has to go.
    """
    file = run_folder(folder, name) / _EXAMPLES / _ORIGINS
    if not file.parent.exists():
        return {}
    try:
        return _ORIGIN_TYPE.validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise TrainingError(
            f"{file} cannot be read, so it is not known what {name} learned from; remove the run "
            f"with `punie learn delete --run {name}`."
        ) from error


def remove_run(folder: Path, name: str) -> list[str]:
    """Delete a run with its examples and all that was made of them; return what, by kind.

    Raises:
        TrainingError: a process works on it.
    """
    from punie.models.made import forget_model

    removed = _remove_derived(folder, name)
    forget_model(name)
    store = store_of(folder)
    shutil.rmtree(store.runs / name, ignore_errors=True)
    shutil.rmtree(run_folder(folder, name), ignore_errors=True)
    return removed


def _remove_derived(folder: Path, name: str) -> list[str]:
    """Delete from the store what was made of a run's examples, directly or not."""
    store = store_of(folder)
    run = next((run for run in read_runs(folder) if run.name == name), None)
    removed = remove_derived(store, set() if run is None else {run.dataset})
    finished = {key for key, _ in store.records()}
    for key in store.all_keys():
        if key not in finished:
            remove_step(store, key)  # Nobody can tell what an unfinished step has read.
    return removed


def remove_derived(store: Store, tainted: set[str]) -> list[str]:
    """Delete all steps that read what has one of these hashes, or what was made of it.

    Returns what their outputs were. Raises `TrainingError` if a process works on one.
    """
    records = dict(store.records())
    tainted = set(tainted)
    removed: list[str] = []
    while True:
        reached = [
            key
            for key, record in records.items()
            if not tainted.isdisjoint(one for hashes in record.inputs.values() for one in hashes)
        ]
        if not reached:
            return removed
        for key in reached:
            record = records.pop(key)
            tainted.add(record.output)
            remove_step(store, key)
            removed.append(record.artifact)


def remove_step(store: Store, key: str) -> None:
    """Delete a step with its output; raise `TrainingError` if a process works on it."""
    if not store.remove(key):
        raise TrainingError(
            "Learning is going on; stop it first, with Ctrl-C where it runs, and delete then."
        )


def read_active(folder: Path) -> Active | None:
    """Return which run is in use; None if none is."""
    try:
        return Active.model_validate_json((folder / _ACTIVE).read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None


def write_active(folder: Path, active: Active | None) -> None:
    """Write down which run is in use; raise `TrainingError`."""
    if active is None:
        (folder / _ACTIVE).unlink(missing_ok=True)
    else:
        write_text(folder / _ACTIVE, active.model_dump_json(indent=1) + "\n")
