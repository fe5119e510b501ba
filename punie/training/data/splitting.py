"""Splitting a dataset into parts that have nothing in common.

Examples that share a project or a query, or are near duplicates, belong together: the connected
components of these links are the pieces that are dealt out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from punie.training.data.dataset import WHOLE, Dataset, Manifest, open_dataset, write_dataset
from punie.training.data.example import Example
from punie.training.data.leakage import (
    NEAR,
    Leak,
    Trace,
    leaks_between,
    numbered_examples,
    tied_together,
    trace,
)
from punie.training.errors import TrainingError
from punie.training.progress import Reporter, Stopped, never, quiet

_NAMED_LEAKS = 3
_ORDER = ("train", "valid", "test")
_ENOUGH = 0.5
"""A part that gets less than this share of what it should have is refused."""


class SplitOptions(BaseModel):
    """How a dataset is split.

    Attributes:
        shares: what each part gets of the examples, in any unit; those of one part stay in order.
        seed: which of the many ways to deal them out.
        near: from which likeness (0 to 1) on two conversations are near duplicates.
        shared: what becomes of examples that others tie to another part: "together" keeps tied
            ones in one part; "drop" ties by project alone, and leaves out of the later parts
            what an earlier part gives away; train is the earliest, then valid and test.
        most_leaks: so many examples of later parts may be given away by earlier ones.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shares: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default={"train": 0.9, "valid": 0.05, "test": 0.05}, min_length=2
    )
    seed: int = 1
    near: float = Field(default=NEAR, gt=0, le=1)
    shared: Literal["together", "drop"] = "together"
    most_leaks: int = Field(default=0, ge=0)

    @field_validator("shares")
    @classmethod
    def _names(cls, shares: dict[str, float]) -> dict[str, float]:
        for name in shares:
            if not name.isidentifier() or name == WHOLE:
                raise ValueError(f"{name!r} cannot be the name of a part")
        # Equal options give equal parts, in whatever order they were written.
        return dict(sorted(shares.items(), key=lambda share: (_rank(share[0]), share[0])))


def _rank(name: str) -> int:
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


def split_dataset(
    options: SplitOptions,
    dataset: Path,
    out: Path,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> Dataset:
    """Split all examples of a dataset anew, whichever parts they are in.

    Raises:
        TrainingError: it cannot be read or written, the examples hang together too much to be
            split so, or the parts would have more in common than is allowed.
        Interrupted: somebody asked to stop; nothing was written.
    """
    source = open_dataset(dataset)
    traces = [trace(*each) for each in numbered_examples(source, "reading", report, stopped)]
    if not traces:
        raise TrainingError(f"{dataset} has no examples to split.")
    pieces = tied_together(traces, options.near if options.shared == "together" else None)
    parts = deal_out(pieces, options.shares, options.seed)
    leaks = _leaks(traces, parts, options)
    if options.shared == "drop":
        parts = {number: part for number, part in parts.items() if number not in leaks}
        leaks = _leaks(traces, parts, options)
    _check_sizes(parts, options.shares, dataset, tied=len(pieces) < len(traces))
    _check_leaks(leaks, options)
    manifest = Manifest(
        made_by="split",
        recipe=options.model_dump(mode="json"),
        seed=options.seed,
        parents={"dataset": source.hash},
        prefixes=source.manifest.prefixes,
    )
    places = {(each.part, each.line): number for number, each in enumerate(traces)}
    written: dict[str, Iterator[Example]] = {
        name: _of_part(source, places, parts, name, report, stopped) for name in options.shares
    }
    return write_dataset(out, manifest, written)


def deal_out(
    pieces: Sequence[Sequence[int]], shares: Mapping[str, float], seed: int
) -> dict[int, str]:
    """Return the part of each example: every piece goes whole to the part that lacks most.

    Pieces larger than the smallest part come first, the rest in random order, so that each part is
    a fair sample of what can be dealt out freely.
    """
    total = sum(map(len, pieces))
    whole = sum(shares.values())
    room = {name: total * share / whole for name, share in shares.items()}
    wanted = dict(room)
    smallest = max(1.0, min(room.values()))
    free = [piece for piece in pieces if len(piece) <= smallest]
    Random(seed).shuffle(free)
    tied = sorted((piece for piece in pieces if len(piece) > smallest), key=lambda p: (-len(p), p))
    parts: dict[int, str] = {}
    for piece in tied:
        name = max(room, key=lambda part: room[part])
        room[name] -= len(piece)
        parts |= dict.fromkeys(piece, name)
    for piece in free:
        name = max(room, key=lambda part: room[part] / wanted[part])
        room[name] -= len(piece)
        parts |= dict.fromkeys(piece, name)
    return parts


def _check_sizes(
    parts: Mapping[int, str], shares: Mapping[str, float], dataset: Path, *, tied: bool
) -> None:
    sizes = dict.fromkeys(shares, 0)
    for name in parts.values():
        sizes[name] += 1
    for name, share in shares.items():
        wanted = share / sum(shares.values()) * len(parts)
        if sizes[name] >= max(1, _ENOUGH * wanted):
            continue
        why = (
            "too many examples share a project or a query; leave out what is shared (`--shared "
            "drop`), make more projects, or ask for other shares"
            if tied
            else "there are too few; make more, or ask for fewer parts"
        )
        raise TrainingError(
            f"{dataset} cannot be split so: part {name} would get {sizes[name]} examples rather "
            f"than {max(1, round(wanted))}, because {why}."
        )


def _leaks(
    traces: Sequence[Trace], parts: Mapping[int, str], options: SplitOptions
) -> dict[int, Leak]:
    """Return, by its number, each example that an example of an earlier part gives away."""
    order = {name: place for place, name in enumerate(options.shares)}
    placed = [
        replace(each, part=parts[number], line=number + 1)
        for number, each in enumerate(traces)
        if number in parts
    ]
    placed.sort(key=lambda each: (order[each.part], each.line))
    return {leak.found.line - 1: leak for leak in leaks_between(placed, options.near)}


def _check_leaks(leaks: Mapping[int, Leak], options: SplitOptions) -> None:
    """Measure what the parts have in common, whatever the way in which they were made."""
    if len(leaks) > options.most_leaks:
        named = "; ".join(
            f"{leak.found.asked[:60]!r} of {leak.found.part} ({leak.kind}, {leak.known.part})"
            for leak in list(leaks.values())[:_NAMED_LEAKS]
        )
        raise TrainingError(
            f"{len(leaks)} examples of later parts are given away by earlier ones, more than the "
            f"{options.most_leaks} that are allowed: {named}; filter near duplicates first."
        )


def _of_part(
    source: Dataset,
    places: Mapping[tuple[str, int], int],
    parts: Mapping[int, str],
    name: str,
    report: Reporter,
    stopped: Stopped,
) -> Iterator[Example]:
    for part, line, example in numbered_examples(source, f"writing {name}", report, stopped):
        if parts.get(places[part, line]) == name:
            yield example
