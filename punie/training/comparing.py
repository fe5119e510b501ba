"""How far two models with the same tokens are apart, on the answers of examples."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import mlx.core as mx
from pydantic import BaseModel, ConfigDict

from punie.models.mlx.chat_format import ChatFormat
from punie.training.data.dataset import Dataset
from punie.training.data.sequences import TrainingSequence, training_sequences
from punie.training.errors import TrainingError
from punie.training.layerwise import LastStates, last_states
from punie.training.progress import Reporter, Stopped, never, quiet

PARTS = ("test", "valid", "all", "train")
"""The parts of a dataset that are compared on, the first that there is."""

_ROWS = 256
"""Places that are scored at once: a row has a number for each token of the vocabulary."""


class Comparison(BaseModel):
    """How far one model is from another on the tokens that an assistant wrote.

    Attributes:
        examples: how many examples were compared.
        tokens: how many tokens.
        agreement: share of places where both would write the same token.
        divergence: mean Kullback-Leibler divergence of the second's probabilities from the
            first's, in nats for each token.
        perplexity_before: of the first model.
        perplexity_after: of the second model.
    """

    model_config = ConfigDict(frozen=True)

    examples: int
    tokens: int
    agreement: float
    divergence: float
    perplexity_before: float
    perplexity_after: float

    @property
    def perplexity_ratio(self) -> float:
        """How many times the perplexity of the first is that of the second."""
        return self.perplexity_after / self.perplexity_before


@dataclass(frozen=True)
class Sample:
    """Some examples of a dataset as tokens: how many examples, and their sequences."""

    examples: int
    sequences: Sequence[TrainingSequence]


def sample_sequences(
    dataset: Dataset, model: Path, examples: int, longest: int, seed: int
) -> Sample:
    """Choose examples of a dataset.

    They are rendered for `model`, and cut off after `longest` tokens.

    Raises:
        TrainingError: there are none, or no answer begins before `longest` tokens.
    """
    part = next((name for name in PARTS if name in dataset.manifest.parts), None)
    if part is None:
        raise TrainingError(f"{dataset.folder} has no examples to compare on.")
    all_of_them = list(dataset.examples(part))
    chosen = Random(seed).sample(all_of_them, min(examples, len(all_of_them)))
    chat_format = ChatFormat.load(model)
    found = [
        TrainingSequence(sequence.ids[:longest], sequence.learned[:longest])
        for example in chosen
        for sequence in training_sequences(chat_format, example, dataset.prefix(example))
    ]
    if not any(any(sequence.learned[1:]) for sequence in found):
        raise TrainingError(
            f"{dataset.file(part)} has no answer that begins within {longest:,} tokens; compare "
            "longer examples."
        )
    return Sample(len(chosen), found)


def compare(
    before: Any,
    after: Any,
    sequences: Sequence[TrainingSequence],
    examples: int,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> Comparison:
    """Compare two lazily loaded models; their weights are gone afterwards.

    Raises:
        Interrupted: it was asked to stop.
        TrainingError: a model cannot be run layer by layer, or its answers are no numbers.
    """
    first = last_states(before, sequences, "running the model before", report, stopped)
    second = last_states(after, sequences, "running the model after", report, stopped)
    agreed = divergence = loss_before = loss_after = 0.0
    count = first.targets.size
    for start in range(0, count, _ROWS):
        old, new = (_log_probabilities(each, start) for each in (first, second))
        targets = first.targets[start : start + _ROWS, None]
        agreed += _total(old.argmax(-1) == new.argmax(-1))
        divergence += _total(mx.exp(old) * (old - new))
        loss_before -= _total(mx.take_along_axis(old, targets, -1))
        loss_after -= _total(mx.take_along_axis(new, targets, -1))
    return Comparison(
        examples=examples,
        tokens=count,
        agreement=agreed / count,
        divergence=max(0.0, _finite(divergence / count)),
        perplexity_before=_perplexity(loss_before / count),
        perplexity_after=_perplexity(loss_after / count),
    )


def _log_probabilities(states: LastStates, start: int) -> mx.array:
    logits = states.score(states.states[start : start + _ROWS])
    return logits - mx.logsumexp(logits, -1, keepdims=True)


def _total(values: mx.array) -> float:
    total: Any = values.sum().item()
    return float(total)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise TrainingError(
            "A model's answers are no numbers any more (infinite or not a number); its weights are "
            "damaged."
        )
    return value


def _perplexity(loss: float) -> float:
    return math.exp(min(_finite(loss), 700.0))
