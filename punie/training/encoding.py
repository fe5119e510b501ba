"""The examples of a dataset's part as arrays of token ids, as a model reads them."""

from dataclasses import dataclass

from punie.models.mlx.chat_format import ChatFormat
from punie.training.data.dataset import Dataset
from punie.training.data.sequences import training_sequences
from punie.training.pretraining.batches import Example, encoded
from punie.training.progress import Progress, Reporter, quiet


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


def encode_part(
    chat_format: ChatFormat,
    dataset: Dataset,
    part: str,
    longest: int,
    report: Reporter = quiet,
    *,
    limit: int | None = None,
) -> Encoded:
    """Encode a part; sequences over `longest` tokens and those that teach nothing are left out.

    With `limit` only as many of its first examples are read.

    Raises:
        TrainingError: there is no such part, a line is not an example, or the template refuses one.
    """
    dataset.check_part(part)
    total = dataset.manifest.parts[part].examples
    total = total if limit is None else min(limit, total)
    found: list[Example] = []
    too_long = seen = 0
    for number, example in zip(range(total), dataset.examples(part), strict=False):
        for sequence in training_sequences(chat_format, example, dataset.prefix(example)):
            seen = max(seen, len(sequence.ids))
            if len(sequence.ids) > longest:
                too_long += 1
            elif any(sequence.learned[1:]):
                found.append(encoded(sequence, number))
        if number % 200 == 199 or number + 1 == total:
            metrics = {"too long": too_long} if too_long else {}
            report(Progress(f"encoding {part}", number + 1, total, "examples", metrics))
    return Encoded(found, too_long, seen)
