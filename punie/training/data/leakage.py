"""What parts of a dataset must not have in common: queries, projects, near duplicates.

A model that is measured on what it has learned word for word looks better than it is.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from punie.training.data.dataset import Dataset
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


def links(traces: Iterable[Trace], near: float = NEAR) -> Iterator[tuple[Kind, int, int]]:
    """Yield (how, earlier, later) for examples, by number, that are too alike for two parts.

    Of equal queries and projects each is linked with the first of its kind only, which connects
    them all; near duplicates with each that is like them.
    """
    projects: dict[str, int] = {}
    queries: dict[str, int] = {}
    known = NearDuplicates(near)
    added: list[int] = []
    same: dict[bytes, int] = {}
    for number, each in enumerate(traces):
        if each.project and (first := projects.setdefault(each.project, number)) != number:
            yield "project", first, number
        if (first := queries.setdefault(each.query, number)) != number:
            yield "query", first, number
        # What says the very same need not be compared with all the others again.
        if (first := same.setdefault(each.shingles.tobytes(), number)) != number:
            yield "near", first, number
            continue
        for like in known.like(each.shingles):
            yield "near", added[like], number
        known.add(each.shingles)
        added.append(number)


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
        for like in known.like(each.shingles):
            if places[like].part != each.part:
                found.append(Leak("near", each, places[like]))
                break
        known.add(each.shingles)
        places.append(each)
    return found


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
