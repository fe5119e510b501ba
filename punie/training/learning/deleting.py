"""Deleting examples: for good, with all that was learned from them."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from punie.training.data.dataset import WHOLE, open_dataset
from punie.training.data.from_sessions import Collected, Origin
from punie.training.learning.ledger import remember
from punie.training.learning.runs import (
    kept_origins,
    read_runs,
    remove_derived,
    remove_run,
    remove_step,
)
from punie.training.pipeline.pipeline import open_store

FROM_SESSIONS = "from-sessions"
"""The kind of step with which a pipeline takes examples from the sessions by itself."""


@dataclass(frozen=True)
class Deletion:
    """What deleting means.

    Attributes:
        turns: turns that will never be taken again.
        examples: all examples that contain one of them, to be learned or as context.
        runs: the runs that learned from such an example: examples, adapters and models go.
        steps: steps of the user's own pipelines whose output is a dataset with such an example.
    """

    turns: frozenset[str] = frozenset()
    examples: frozenset[str] = frozenset()
    runs: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Deleted:
    """What was deleted: how many examples, and by run what was made of them."""

    examples: int
    removed: Mapping[str, list[str]] = field(default_factory=dict)


def plan_deletion(folder: Path, found: Collected, ids: Collection[str]) -> Deletion:
    """Return what deleting examples takes along; raise `TrainingError`.

    `found` is what would be learned now; examples of earlier runs count as well.
    """
    of_runs = {run.name: kept_origins(folder, run.name) for run in read_runs(folder)}
    known: dict[str, Origin] = dict(found.origins)
    for origins in of_runs.values():
        known |= origins
    turns = {turn for name in ids if name in known for turn in known[name].turns}

    def touched(origin: Origin) -> bool:
        return not turns.isdisjoint((*origin.turns, *origin.context))

    examples = frozenset(name for name, origin in known.items() if touched(origin))
    return Deletion(
        turns=frozenset(turns),
        examples=examples,
        steps=tuple(_steps_with(examples)),
        runs=tuple(
            name for name, origins in of_runs.items() if any(map(touched, origins.values()))
        ),
    )


def delete_examples(folder: Path, deletion: Deletion) -> Deleted:
    """Delete for good; raise `TrainingError` if something of it is in use just now."""
    # First the memory of it: after a kill in between nothing is learned from it again.
    remember(folder, deleted=deletion.turns)
    removed = {name: remove_run(folder, name) for name in deletion.runs}
    store = open_store()
    for key in deletion.steps:
        record = store.record(key)
        if record is not None:
            removed[f"pipelines: {record.name}"] = remove_derived(store, {record.output})
            remove_step(store, key)
    return Deleted(len(deletion.examples), removed)


def _steps_with(examples: Collection[str]) -> Iterator[str]:
    """Yield the steps of the user's pipelines that took these examples from the sessions."""
    store = open_store()
    for key, record in store.records():
        if record.kind == FROM_SESSIONS:
            dataset = open_dataset(store.output(key, record.artifact))
            if any(example.id in examples for example in dataset.examples(WHOLE)):
                yield key
