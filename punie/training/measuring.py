"""How well a model writes the assistant's turns of a dataset, each after the right history.

One pass over a conversation tells what greedy decoding would write: it gets a turn exactly right if
and only if each of its tokens is the likeliest after the right tokens before it.
"""

import math
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from punie.evaluation.intervals import Rate, rate
from punie.models.architecture import context_window
from punie.models.catalog import read_json_object
from punie.models.mlx.chat.markup import OPEN_CALL
from punie.models.mlx.chat.vocabulary import Vocabulary
from punie.models.mlx.chat_format import ChatFormat
from punie.models.mlx.library import load_model
from punie.training.answer_logits import answer_logits, missed
from punie.training.encoding import Encoded, encode_part, open_source
from punie.training.errors import TrainingError
from punie.training.fusing import load_with_adapter, read_adapter
from punie.training.pretraining.batches import Batch, Example, make_batch, padded_length
from punie.training.progress import Interrupted, Progress, Reporter, Stopped, never, quiet

_TOKENS_AT_ONCE = 2048
"""Tokens of a pass, padding included."""


class Turn(BaseModel):
    """How a model does on one turn of the assistant.

    Attributes:
        example: place of its example in the part, from 0.
        turn: which of the example's learned turns, from 0.
        kind: whether a "call" is due in it or a "direct" answer.
        tokens: how many there are to write.
        right: how many of them are the model's likeliest.
        loss: negative log likelihood of all together, in nats.
        first: whether the first is right.
        decided: whether it is rightly decided to call a tool or to answer: where a call is due the
            model opens one there, and in a direct answer nowhere. Without a token that opens calls
            the first token decides.
    """

    model_config = ConfigDict(frozen=True)

    example: int
    turn: int
    kind: Literal["call", "direct"]
    tokens: int
    right: int
    loss: float
    first: bool
    decided: bool

    @property
    def exact(self) -> bool:
        """Whether greedy decoding writes just this turn."""
        return self.right == self.tokens


class Measured(BaseModel):
    """How a model does on a part of a dataset; two of the same part can be compared turn by turn.

    Attributes:
        turns: all turns, in the order of the part.
        too_long: sequences that were left out as longer than what the model reads.
    """

    model_config = ConfigDict(frozen=True)

    turns: tuple[Turn, ...]
    too_long: int = 0

    @property
    def tokens(self) -> int:
        """Tokens that were judged."""
        return sum(turn.tokens for turn in self.turns)

    @property
    def loss(self) -> float:
        """Mean negative log likelihood of a token, in nats."""
        return sum(turn.loss for turn in self.turns) / max(1, self.tokens)

    @property
    def perplexity(self) -> float:
        """What `loss` is the logarithm of; infinite where that is too large for a number."""
        try:
            return math.exp(self.loss)
        except OverflowError:
            return math.inf

    @property
    def token_accuracy(self) -> Rate:
        """Share of tokens that are the likeliest."""
        return rate(sum(turn.right for turn in self.turns), self.tokens)

    @property
    def exact_turns(self) -> Rate:
        """Share of turns that greedy decoding gets exactly right."""
        return _share(turn.exact for turn in self.turns)

    @property
    def first_tokens(self) -> Rate:
        """Share of turns whose first token is right."""
        return _share(turn.first for turn in self.turns)

    @property
    def decisions(self) -> Rate:
        """Share of turns in which it is rightly decided to call a tool or to answer."""
        return _share(turn.decided for turn in self.turns)

    def first_turns(self) -> "Measured":
        """Return the same of each example's first turn alone."""
        return self._only(turn for turn in self.turns if turn.turn == 0)

    def calls(self) -> "Measured":
        """Return the same of the turns in which a call is due."""
        return self._only(turn for turn in self.turns if turn.kind == "call")

    def direct(self) -> "Measured":
        """Return the same of the examples in which nothing is called."""
        calling = {turn.example for turn in self.turns if turn.kind == "call"}
        return self._only(turn for turn in self.turns if turn.example not in calling)

    def _only(self, turns: Iterable[Turn]) -> "Measured":
        return self.model_copy(update={"turns": tuple(turns)})


def measure(
    model: Path,
    adapter: Path | None,
    dataset: Path,
    part: str,
    limit: int | None = None,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> Measured:
    """Measure a model, with an adapter on it or without, on the first `limit` examples of a part.

    Raises:
        TrainingError: the inputs do not fit each other, or nothing is left to measure.
        ModelUnavailable: the model's files cannot be read.
        Interrupted: `stopped()`.
    """
    chat_format = ChatFormat.load(model)
    window = context_window(read_json_object(model / "config.json"))
    source = open_source(dataset, model)
    found = encode_part(chat_format, source, part, window, report, stopped, limit=limit)
    if not found.sequences:
        raise TrainingError(
            f"The part {part!r} of {dataset} holds nothing that can be measured with the model in "
            f"{model}, which reads {window:,} tokens."
        )
    if adapter is None:
        loaded, _ = load_model(model)
    else:
        loaded = load_with_adapter(model, read_adapter(adapter))
    measured = measure_loaded(loaded, chat_format, found, report, stopped)
    # What is loaded next is not to lie beside what MLX would keep of this model.
    del loaded
    mx.clear_cache()
    return measured


def measure_loaded(
    model: Any,
    chat_format: ChatFormat,
    found: Encoded,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> Measured:
    """Measure a model in memory; it is in the mode for training afterwards if it was before.

    Raises:
        Interrupted: `stopped()`.
    """
    training = bool(model.training)
    model.eval()
    try:
        turns = _turns(model, chat_format.vocabulary, found.sequences, report, stopped)
    finally:
        model.train(training)
    return Measured(turns=tuple(turns), too_long=found.too_long)


def _turns(
    model: Any,
    vocabulary: Vocabulary,
    sequences: Sequence[Example],
    report: Reporter,
    stopped: Stopped,
) -> list[Turn]:
    compute = mx.compile(partial(_scores, model))
    runs: dict[int, list[Turn]] = {}
    done = 0
    for group in _groups(sequences):
        if stopped():
            raise Interrupted("Stopped while measuring; the same command measures again.")
        examples = [sequences[index] for index in group]
        batch = make_batch(examples)
        arrays = (mx.array(each) for each in (batch.tokens, batch.positions, batch.targets))
        losses, guesses = compute(*arrays)
        mx.eval(losses, guesses)
        rows = batch.positions[batch.weights > 0] // batch.tokens.shape[1]
        for row, index in enumerate(group):
            chosen = np.flatnonzero(rows == row)
            runs[index] = _runs(
                examples[row], batch, chosen, np.array(losses), np.array(guesses), vocabulary
            )
        done += len(group)
        report(Progress("measuring", done, len(sequences), "sequences"))
    numbered: list[Turn] = []
    counts: dict[int, int] = {}
    for index in range(len(sequences)):
        for turn in runs[index]:
            number = counts.get(turn.example, 0)
            counts[turn.example] = number + 1
            numbered.append(turn.model_copy(update={"turn": number}))
    return numbered


def _groups(sequences: Sequence[Example]) -> list[list[int]]:
    """Put sequences of like length together, as many as may be read at once."""
    groups: list[list[int]] = []
    for index in sorted(range(len(sequences)), key=lambda index: len(sequences[index].ids)):
        length = padded_length(len(sequences[index].ids))
        if groups and (len(groups[-1]) + 1) * length <= _TOKENS_AT_ONCE:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def _scores(
    model: Any, tokens: mx.array, positions: mx.array, targets: mx.array
) -> tuple[mx.array, mx.array]:
    logits = answer_logits(model, tokens, positions)
    return missed(logits, targets), mx.argmax(logits, axis=-1)


def _runs(
    example: Example,
    batch: Batch,
    chosen: NDArray[np.intp],
    losses: NDArray[np.float32],
    guesses: NDArray[np.uint32],
    vocabulary: Vocabulary,
) -> list[Turn]:
    """Judge the turns of one row; `chosen` are its places among the batch's positions."""
    # A gap between learned positions starts a new turn.
    opener = vocabulary.control.get(OPEN_CALL)
    starts = np.flatnonzero(np.diff(batch.positions[chosen], prepend=-2) != 1)
    turns: list[Turn] = []
    for places in np.split(chosen, starts[1:]):
        due, said = batch.targets[places], guesses[places]
        right = said == due
        if opener is None:
            calling = OPEN_CALL in vocabulary.text(due.tolist())
            decided = bool(right[0])
        elif calling := bool((due == opener).any()):
            decided = bool(said[np.argmax(due == opener)] == opener)
        else:
            decided = not (said == opener).any()
        turns.append(
            Turn(
                example=example.number,
                turn=0,
                kind="call" if calling else "direct",
                tokens=len(places),
                right=int(right.sum()),
                loss=float(losses[places].sum()),
                first=bool(right[0]),
                decided=decided,
            )
        )
    return turns


def _share(hits: Iterable[bool]) -> Rate:
    counted = list(hits)
    return rate(sum(counted), len(counted))
