"""What methods learn from that look at activations: a dataset's examples as tokens."""

from collections.abc import Sequence
from pathlib import Path
from random import Random

import mlx.core as mx

from punie.models.mlx.chat_format import ChatFormat
from punie.training.comparing import PARTS
from punie.training.data.dataset import Dataset
from punie.training.data.sequences import training_sequences
from punie.training.errors import TrainingError


def calibration_rows(
    dataset: Dataset, model: Path, count: int, length: int, seed: int
) -> list[list[int]]:
    """Return up to `count` examples as token ids, cut off after `length`.

    They come from the part that models are trained on, where the dataset is split, and never from
    the one that is compared on.

    Raises:
        TrainingError: there are none.
    """
    part = next((name for name in reversed(PARTS) if name in dataset.manifest.parts), None)
    if part is None:
        raise TrainingError(f"{dataset.folder} has no examples to learn from.")
    examples = list(dataset.examples(part))
    chosen = Random(seed).sample(examples, min(count, len(examples)))
    chat_format = ChatFormat.load(model)
    rows = [
        sequence.ids[:length]
        for example in chosen
        for sequence in training_sequences(chat_format, example, dataset.prefix(example))
    ]
    return [row for row in rows if len(row) > 1]


def packed_rows(rows: Sequence[Sequence[int]], length: int) -> mx.array:
    """Return rows laid end to end and cut into pieces of `length`, shape (pieces, length).

    The last piece is dropped if it is shorter.

    Raises:
        TrainingError: there are not tokens enough for one piece.
    """
    tokens = [token for row in rows for token in row]
    pieces = len(tokens) // length
    if pieces == 0:
        raise TrainingError(
            f"The dataset has {len(tokens):,} tokens to learn from, and {length:,} are needed at "
            "least; take more examples or a shorter calibration length."
        )
    return mx.array(tokens[: pieces * length]).reshape(pieces, length)
