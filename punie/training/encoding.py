"""The examples of a dataset's part as arrays of token ids, as a model reads them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

from punie.models.mlx.chat_format import ChatFormat
from punie.training.data.dataset import Dataset, open_dataset
from punie.training.data.rendering import Rendered, is_rendered, open_rendered
from punie.training.data.sequences import TrainingSequence, training_sequences
from punie.training.pretraining.batches import Example, encoded
from punie.training.progress import Interrupted, Progress, Reporter, Stopped, never, quiet


@dataclass(frozen=True)
class Encoded:
    """Sequences of a part; `number` of each is the place of its example in the part, from 0.

    Attributes:
        sequences: what fits, in the order of the part.
        too_long: how many sequences were left out because they are longer.
        longest: tokens of the longest of all, left out or not.
    """

    sequences: list[Example]
    too_long: int
    longest: int


Source = Dataset | Rendered
"""Conversations, or the token ids that were made of them for a model."""


def open_source(folder: Path, model: Path) -> Source:
    """Open a dataset, rendered or not, for a model.

    Raises:
        TrainingError: there is none, or it was rendered for another tokenizer or template.
    """
    return open_rendered(folder, model) if is_rendered(folder) else open_dataset(folder)


def source_hash(source: Source) -> str:
    """Return the hash of the dataset, the same for one that is rendered."""
    return source.hash if isinstance(source, Dataset) else source.manifest.dataset


def encode_part(
    chat_format: ChatFormat,
    source: Source,
    part: str,
    longest: int,
    report: Reporter = quiet,
    stopped: Stopped = never,
    *,
    limit: int | None = None,
) -> Encoded:
    """Encode a part; sequences over `longest` tokens and those that teach nothing are left out.

    With `limit` only as many of its first examples are read.

    Raises:
        Interrupted: `stopped()`.
        TrainingError: there is no such part, a line is not an example, or the template refuses one.
    """
    found: list[Example] = []
    too_long = seen = 0
    number = -1
    part_of = source.manifest.parts.get(part)
    total = None if part_of is None else min(part_of.examples, limit or part_of.examples)
    every = islice(_sequences(chat_format, source, part), limit)
    for number, sequences in enumerate(every):
        for sequence in sequences:
            seen = max(seen, len(sequence.ids))
            if len(sequence.ids) > longest:
                too_long += 1
            elif any(sequence.learned[1:]):
                found.append(encoded(sequence, number))
        if number % 200 == 199:
            tell_read(part, number + 1, total, too_long, report, stopped)
    tell_read(part, number + 1, total, too_long, report)
    return Encoded(found, too_long, seen)


def _sequences(
    chat_format: ChatFormat, source: Source, part: str
) -> Iterator[list[TrainingSequence]]:
    """Yield the sequences of each example."""
    if isinstance(source, Rendered):
        for _, group in groupby(source.sequences(part), lambda each: each[0]):
            yield [sequence for _, sequence in group]
        return
    for example in source.examples(part):
        yield training_sequences(chat_format, example, source.prefix(example))


def tell_read(
    part: str,
    done: int,
    total: int | None,
    too_long: int,
    report: Reporter,
    stopped: Stopped = never,
) -> None:
    """Report how many examples of a part are read, and how many sequences were too long.

    Raises:
        Interrupted: `stopped()`.
    """
    if stopped():
        raise Interrupted("Stopped while reading the examples; nothing was written.")
    metrics = {"too long": too_long} if too_long else {}
    report(Progress(f"encoding {part}", done, total, "examples", metrics))
