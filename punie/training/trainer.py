"""The training loop: two workers share each batch, a schedule follows the time that is left."""

import json
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import mlx.core as mx
import numpy as np

from punie.training.batches import Batch, Example, epochs, halves, make_batch
from punie.training.checkpoint import (
    Progress,
    export_model,
    load_checkpoint,
    save_checkpoint,
)
from punie.training.network import (
    Parameters,
    answer_loss,
    answer_scores,
    causal_mask,
    initial_parameters,
)
from punie.training.optimizer import Rates, State, initial_state, updated
from punie.training.tiny_architecture import TinyShape

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Recipe:
    """How a run trains.

    Attributes:
        minutes: training time over all starts; the learning rate ends at zero with it.
        tokens_per_batch: tokens, padding included, of one optimiser step.
        rates: peak learning rates.
        warm_up: optimiser steps until the peak is reached.
        hold: share of the time spent at the peak before it falls linearly to zero.
        seed: of weights and order of the data.
        workers: 1 or 2 halves of a batch computed side by side.
        checkpoint_seconds: time between checkpoints.
        validation_seconds: time between validations.
        validation_examples: conversations of a validation during the run; the last takes all.
    """

    minutes: float
    tokens_per_batch: int = 4096
    rates: Rates = Rates()  # noqa: RUF009 - frozen
    warm_up: int = 50
    hold: float = 0.3
    seed: int = 1
    workers: int = 2
    checkpoint_seconds: float = 120.0
    validation_seconds: float = 300.0
    validation_examples: int = 120

    def rate_scale(self, step: int, elapsed: float) -> float:
        """What the peak rates are multiplied with, from 0 to 1."""
        done = min(1.0, elapsed / (self.minutes * 60))
        falling = min(1.0, (1 - done) / (1 - self.hold))
        return min(1.0, (step + 1) / self.warm_up) * falling


@dataclass(frozen=True)
class Validation:
    """How the network does on conversations it never saw.

    Attributes:
        loss: mean negative log likelihood of a learned token.
        token_accuracy: share of learned tokens that are the best guess.
        first_turns: share of first assistant turns that greedy decoding gets exactly right.
        turns: the same over all assistant turns, each after the right history.
    """

    loss: float
    token_accuracy: float
    first_turns: float
    turns: float


class Workers:
    """Compiled gradient and update steps on one stream per worker.

    A stream is a thread on the CPU, so the halves of a batch, and then the halves of the update,
    run at the same time.
    """

    def __init__(self, shape: TinyShape, rates: Rates, count: int, names: Sequence[str]) -> None:
        self._shape = shape
        self._streams = [mx.new_stream(mx.Device(mx.cpu)) for _ in range(count)]
        loss = partial(answer_loss, shape=shape)
        # One compiled function per stream: the trace remembers the stream it was made for.
        self._gradients = [mx.compile(mx.value_and_grad(partial(loss))) for _ in range(count)]
        self._updates = [mx.compile(partial(updated, rates=rates)) for _ in range(count)]
        self._parts = [
            [name for name in names if _part(name, shape.layers, count) == number]
            for number in range(count)
        ]

    def gradients(
        self, parameters: Parameters, batches: Sequence[Batch]
    ) -> tuple[mx.array, mx.array, list[Parameters]]:
        """Mean loss and share of right guesses per learned token, and one gradient per batch."""
        learned = float(sum(batch.weights.sum() for batch in batches))
        losses, rights, gradients = [], [], []
        for batch, stream, compute in zip(batches, self._streams, self._gradients, strict=False):
            rows, length = batch.tokens.shape
            mask = causal_mask(rows, length, self._shape)
            arrays = [batch.tokens, batch.positions, batch.targets, batch.weights / learned]
            tokens, positions, targets, weights = (mx.array(array) for array in arrays)
            with mx.stream(stream):
                (loss, right), gradient = compute(
                    parameters, tokens, mask, positions, targets, weights
                )
            losses.append(loss)
            rights.append(right / learned)
            gradients.append(gradient)
        return sum(losses, mx.array(0.0)), sum(rights, mx.array(0.0)), gradients

    def update(
        self,
        parameters: Parameters,
        gradients: Sequence[Parameters],
        state: State,
        scale: float,
        step: int,
    ) -> tuple[Parameters, State]:
        """Weights and moments after one optimiser step; evaluated."""
        new: Parameters = {}
        moments: State = {}
        for names, stream, compute in zip(self._parts, self._streams, self._updates, strict=True):
            with mx.stream(stream):
                weights, own = compute(
                    {name: parameters[name] for name in names},
                    [{name: gradient[name] for name in names} for gradient in gradients],
                    {name: state[name] for name in state if name.split(".", 1)[1] in set(names)},
                    mx.array(scale),
                    mx.array(float(step)),
                )
            new |= weights
            moments |= own
        mx.eval(new, moments)
        return new, moments


def _part(name: str, layers: int, parts: int) -> int:
    """Which worker updates a weight: the blocks are dealt out evenly."""
    layer = int(name.split(".")[2]) if ".layers." in name else 0
    return layer * parts // layers


def validate(
    parameters: Parameters, examples: Sequence[Example], shape: TinyShape, rows: int = 8
) -> Validation:
    """Measure the network on some conversations.

    One pass decides what greedy decoding would do: it writes exactly the expected turn if and
    only if every token of the turn is the best guess after the expected tokens before it.
    """
    missed, right, first, whole = [], [], [], []
    for start in range(0, len(examples), rows):
        group = examples[start : start + rows]
        batch = make_batch(group)
        mask = causal_mask(*batch.tokens.shape, shape)
        scores, guesses = answer_scores(
            parameters,
            mx.array(batch.tokens),
            mask,
            mx.array(batch.positions),
            mx.array(batch.targets),
            shape,
        )
        count = int(batch.weights.sum())
        missed.append(np.array(scores)[:count])
        right.append(np.array(guesses)[:count])
        # A gap between learned positions, or a new row, starts a new turn.
        starts = np.flatnonzero(np.diff(batch.positions[:count], prepend=-2) != 1)
        turns = np.minimum.reduceat(right[-1], starts) if count else np.zeros(0, bool)
        row = batch.positions[:count][starts] // batch.tokens.shape[1]
        whole.append(turns)
        first.append(turns[np.diff(row, prepend=-1) != 0])
    return Validation(
        loss=float(np.concatenate(missed).mean()),
        token_accuracy=float(np.concatenate(right).mean()),
        first_turns=float(np.concatenate(first).mean()),
        turns=float(np.concatenate(whole).mean()),
    )


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Let SIGTERM and SIGINT ask the loop to save and leave; yields whether one came."""
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    before = {name: signal.signal(name, note) for name in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: bool(came)
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def train(
    recipe: Recipe,
    shape: TinyShape,
    training: Sequence[Example],
    validation: Sequence[Example],
    out: Path,
    report: Report,
    *,
    resume: bool,
    stopped: Callable[[], bool],
) -> Progress:
    """Train until the time is used up or `stopped()`; then save a checkpoint and the model.

    Args:
        recipe: how to train.
        shape: what to train.
        training: conversations to learn.
        validation: conversations that are only measured; may be empty.
        out: folder for `checkpoint.safetensors`, `log.jsonl` and the model in `model/`.
        report: called after every step and validation with the values that are logged.
        resume: go on from the checkpoint in `out`.
        stopped: asked after every step.

    Returns:
        How far the run came.

    Raises:
        CheckpointError: `resume` was asked for and the checkpoint cannot be used.
        ValueError: the training data are empty.
    """
    checkpoint = out / "checkpoint.safetensors"
    if resume:
        parameters, state, progress = load_checkpoint(checkpoint, shape)
    else:
        parameters = initial_parameters(shape, recipe.seed)
        state, progress = initial_state(parameters), Progress()
    start = (progress.epoch, progress.batch)
    if progress.examples not in (0, len(training)):
        start = (progress.epoch + 1, 0)
    workers = Workers(shape, recipe.rates, recipe.workers, list(parameters))
    step, before = progress.step, progress.elapsed
    began = saved = validated = time.monotonic()
    limit = recipe.minutes * 60
    with (out / "log.jsonl").open("a", encoding="utf-8") as log:

        def note(values: dict[str, Any]) -> None:
            log.write(json.dumps(values) + "\n")
            log.flush()
            report(values)

        def measure(examples: Sequence[Example]) -> None:
            if examples:
                result = validate(parameters, examples, shape)
                note({"step": step, "elapsed": before + time.monotonic() - began} | vars(result))

        for position, examples in epochs(training, recipe.tokens_per_batch, recipe.seed, start):
            stepped = time.monotonic()
            elapsed = before + stepped - began
            if elapsed >= limit or stopped():
                break
            batches = halves(examples) if recipe.workers == 2 else (make_batch(examples),)
            loss, right, gradients = workers.gradients(parameters, batches)
            scale = recipe.rate_scale(step, elapsed)
            parameters, state = workers.update(parameters, gradients, state, scale, step + 1)
            step += 1
            now = time.monotonic()
            progress = Progress(step, before + now - began, *position, len(training))
            tokens = sum(batch.text_tokens for batch in batches)
            note(
                {
                    "step": step,
                    "elapsed": round(progress.elapsed, 2),
                    "loss": round(float(loss.item()), 4),
                    "accuracy": round(float(right.item()), 4),
                    "tokens_per_second": round(tokens / (now - stepped)),
                    "scale": round(scale, 4),
                    "epoch": position[0],
                }
            )
            if now - saved >= recipe.checkpoint_seconds:
                save_checkpoint(checkpoint, parameters, state, progress, shape)
                saved = now
            if now - validated >= recipe.validation_seconds:
                measure(validation[: recipe.validation_examples])
                validated = time.monotonic()
        save_checkpoint(checkpoint, parameters, state, progress, shape)
        export_model(out / "model", parameters, shape)
        measure(validation if progress.elapsed >= limit else [])
    return progress
