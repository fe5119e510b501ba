"""Several datasets as one, each with as much of it as is wanted."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from punie.training.data.dataset import WHOLE, Dataset, Manifest, open_dataset, write_dataset
from punie.training.data.example import Example, PromptPrefix
from punie.training.data.leakage import numbered_examples
from punie.training.errors import TrainingError
from punie.training.progress import Reporter, Stopped, never, quiet

_LEARNED = ("train", WHOLE)

Place = tuple[int, str, int]
"""Which dataset, which part, which line, counted from 1."""


class MergeOptions(BaseModel):
    """How datasets are put together.

    Attributes:
        limits: for each dataset in order, how many examples of each of its parts are taken at
            most; None for all. May be shorter than the list of datasets.
        weights: for each dataset in order, how often its examples count. Of one below 1 so large a
            share is drawn; one above 1 repeats examples of the part that is learned.
        duplicates: "drop" keeps the first of what says the same with the same prefix and context,
            whatever part and dataset it is in; "keep" keeps all.
        as_one: put all examples into one part, to be split afterwards.
        unsplit: the part into which the examples of datasets that are not split go, such as
            "train"; "" does not merge them with datasets that are.
        seed: which examples are drawn.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    limits: tuple[Annotated[int, Field(ge=1)] | None, ...] = ()
    weights: tuple[Annotated[float, Field(gt=0, le=100)], ...] = ()
    duplicates: Literal["drop", "keep"] = "drop"
    as_one: bool = False
    unsplit: str = Field(default="", pattern="^[a-z_]*$")
    seed: int = 1


def merge_datasets(
    options: MergeOptions,
    datasets: Sequence[Path],
    out: Path,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> Dataset:
    """Put datasets together: their parts by name, their prefixes by content.

    Raises:
        TrainingError: one cannot be read, there are more limits or weights than datasets, some are
            split and some are not, nothing would be there, or `out` cannot be written.
        Interrupted: somebody asked to stop; nothing was written.
    """
    sources = [open_dataset(folder) for folder in datasets]
    _check(options, sources)
    prefixes: dict[str, PromptPrefix] = {}
    for source in sources:
        prefixes |= {prefix.id: prefix for prefix in source.manifest.prefixes.values()}
    chosen = _choose(options, sources, report, stopped)
    if not any(chosen.values()):
        raise TrainingError("The datasets have no examples, so there is nothing to merge.")
    manifest = Manifest(
        made_by="merge",
        recipe=options.model_dump(mode="json"),
        seed=options.seed,
        parents={f"dataset {number}": each.hash for number, each in enumerate(sources, 1)},
        prefixes=prefixes,
    )
    parts = {
        name: _written(name, sources, taken, report, stopped) for name, taken in chosen.items()
    }
    return write_dataset(out, manifest, parts)


def _check(options: MergeOptions, sources: Sequence[Dataset]) -> None:
    if not sources:
        raise TrainingError("Name the datasets to merge.")
    for name in ("limits", "weights"):
        if len(getattr(options, name)) > len(sources):
            raise TrainingError(f"There are more {name} than datasets; give one for each.")
    unsplit = [source for source in sources if WHOLE in source.manifest.parts]
    if unsplit and len(unsplit) < len(sources) and not (options.as_one or options.unsplit):
        raise TrainingError(
            f"{unsplit[0].folder} is not split and another dataset is; split it before, or merge "
            "them as one part (`--as-one`) and split that."
        )


def _choose(
    options: MergeOptions, sources: Sequence[Dataset], report: Reporter, stopped: Stopped
) -> dict[str, dict[Place, int]]:
    """Return for each part of the result how often each example is taken, in order."""
    seen: set[tuple[str, str, int]] = set()
    chosen: dict[str, dict[Place, int]] = {}
    for number, source in enumerate(sources):
        named = _named(source)
        there: dict[str, list[Place]] = {part: [] for part in source.manifest.parts}
        for part, line, example in numbered_examples(source, "reading", report, stopped):
            key = (example.id, named.get(example.prefix, ""), example.context)
            if options.duplicates == "keep" or key not in seen:
                there[part].append((number, part, line))
            seen.add(key)
        for part, places in there.items():
            name = WHOLE if options.as_one else part
            if name == WHOLE and options.unsplit:
                name = options.unsplit
            taken = chosen.setdefault(name, {})
            taken.update(_weighed(options, number, part, places))
    return chosen


def _weighed(
    options: MergeOptions, number: int, part: str, places: Sequence[Place]
) -> dict[Place, int]:
    limit = options.limits[number] if number < len(options.limits) else None
    weight = options.weights[number] if number < len(options.weights) else 1.0
    if part not in _LEARNED:
        weight = min(weight, 1.0)
    random = Random(f"{options.seed} {number} {part}")
    if limit is not None and limit < len(places):
        places = sorted(random.sample(places, limit))
    whole, rest = divmod(round(weight * len(places)), max(1, len(places)))
    drawn = set(random.sample(places, rest))
    counts = {place: whole + (place in drawn) for place in places}
    return {place: count for place, count in counts.items() if count}


def _named(source: Dataset) -> dict[str, str]:
    """Return what the prefixes of a dataset are called in the merged one, by their names in it."""
    return {name: prefix.id for name, prefix in source.manifest.prefixes.items()}


def _written(
    name: str,
    sources: Sequence[Dataset],
    taken: Mapping[Place, int],
    report: Reporter,
    stopped: Stopped,
) -> Iterator[Example]:
    for number, source in enumerate(sources):
        named = _named(source)
        for part, line, example in numbered_examples(source, f"writing {name}", report, stopped):
            count = taken.get((number, part, line), 0)
            if count:
                prefix = named.get(example.prefix, "")
                moved = example.model_copy(update={"prefix": prefix})
                yield from [moved] * count
