"""What parts of a dataset must not have in common: queries, projects, near duplicates.

A model that is measured on what it has learned word for word looks better than it is.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from punie.training.data.dataset import Dataset
from punie.training.data.disjoint_sets import DisjointSets
from punie.training.data.example import Example
from punie.training.data.likeness import NearDuplicates, Shingles, normalised, shingles_of, words_of
from punie.training.progress import Interrupted, Progress, Reporter, Stopped, never, quiet

NEAR = 0.8
"""From this likeness on two conversations are near duplicates, if nothing else is said."""

_REPORT_EVERY = 500

Kind = Literal["project", "query", "near"]
"""How two examples may be too alike for two parts."""


@dataclass(frozen=True)
class Trace:
    """What tells which examples an example must stay with; `line` counts from 1."""

    part: str
    line: int
    asked: str
    project: str
    query: str
    shingles: Shingles


@dataclass(frozen=True)
class Leak:
    """An example of one part that an earlier part gives away."""

    kind: Kind
    found: Trace
    known: Trace

    def __str__(self) -> str:
        why = {
            "project": f"acts on the project {self.known.project!r} as well as",
            "query": "asks the same as",
            "near": "is a near duplicate of",
        }[self.kind]
        asked = " ".join(self.found.asked.split())[:60]
        return (
            f"{self.found.part}.jsonl line {self.found.line} ({asked!r}) {why} "
            f"{self.known.part}.jsonl line {self.known.line}"
        )


def numbered_examples(
    dataset: Dataset, doing: str, report: Reporter = quiet, stopped: Stopped = never
) -> Iterator[tuple[str, int, Example]]:
    """Yield all examples with part and line, telling how far it is.

    Raises:
        TrainingError: a part cannot be read.
        Interrupted: somebody asked to stop.
    """
    total = sum(part.examples for part in dataset.manifest.parts.values())
    done = 0
    for part in dataset.manifest.parts:
        for line, example in enumerate(dataset.examples(part), 1):
            yield part, line, example
            done += 1
            if done % _REPORT_EVERY == 0:
                report(Progress(doing, done, total, "examples"))
                if stopped():
                    raise Interrupted("Stopped; nothing was written.")
    report(Progress(doing, done, done, "examples"))


def trace(part: str, line: int, example: Example) -> Trace:
    """Return what an example is known by."""
    asked = example.query
    return Trace(
        part, line, asked, example.project, normalised(asked), shingles_of(words_of(example))
    )


def tied_together(traces: Sequence[Trace], near: float | None) -> list[list[int]]:
    """Return which examples, by number, belong into one part: those that are tied, and their ties.

    Ties are a common project and, with `near`, a common query and a likeness from `near` on.
    """
    sets = DisjointSets(len(traces))
    projects: dict[str, int] = {}
    for number, each in enumerate(traces):
        if each.project:
            sets.join(projects.setdefault(each.project, number), number)
    if near is None:
        return sets.sets()
    queries: dict[str, int] = {}
    for number, each in enumerate(traces):
        sets.join(queries.setdefault(each.query, number), number)
    known = NearDuplicates(near)
    for number, each in enumerate(traces):
        # Those that are tied already need not be compared.
        for like in known.like(each.shingles, _apart(sets, number)):
            sets.join(like, number)
        known.add(each.shingles)
    return sets.sets()


def _apart(sets: DisjointSets, number: int) -> Callable[[int], bool]:
    return lambda other: sets.root(other) != sets.root(number)


def leaks_between(traces: Sequence[Trace], near: float = NEAR) -> list[Leak]:
    """Return what later parts share with earlier ones: at most one leak of a kind for an example.

    Parts are in the order in which `traces` first names them.
    """
    order = {part: place for place, part in enumerate(dict.fromkeys(t.part for t in traces))}
    projects: dict[str, Trace] = {}
    queries: dict[str, Trace] = {}
    known = NearDuplicates(near)
    found: list[Leak] = []
    places: list[Trace] = []
    for each in sorted(traces, key=lambda one: (order[one.part], one.line)):
        if each.project:
            first = projects.setdefault(each.project, each)
            if first.part != each.part:
                found.append(Leak("project", each, first))
        first = queries.setdefault(each.query, each)
        if first.part != each.part:
            found.append(Leak("query", each, first))
        for like in known.like(each.shingles, _elsewhere(places, each.part)):
            found.append(Leak("near", each, places[like]))
            break
        known.add(each.shingles)
        places.append(each)
    return found


def _elsewhere(places: Sequence[Trace], part: str) -> Callable[[int], bool]:
    return lambda like: places[like].part != part


def measure_leakage(
    dataset: Dataset, near: float = NEAR, report: Reporter = quiet, stopped: Stopped = never
) -> list[Leak]:
    """Return what the later parts of a dataset share with its earlier ones.

    Raises:
        TrainingError: the dataset cannot be read.
        Interrupted: somebody asked to stop.
    """
    found = numbered_examples(dataset, "looking for leaks", report, stopped)
    return leaks_between([trace(*each) for each in found], near)
