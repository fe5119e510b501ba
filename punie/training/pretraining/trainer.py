"""The training loop: two workers share each batch, a schedule follows the time that is left."""

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from punie.training.pretraining.batches import Batch, Example, epochs, halves, make_batch
from punie.training.pretraining.checkpoint import (
    Progress,
    export_model,
    load_checkpoint,
    save_checkpoint,
)
from punie.training.pretraining.network import (
    Parameters,
    answer_loss,
    answer_scores,
    causal_mask,
    initial_parameters,
)
from punie.training.pretraining.optimizer import Rates, State, initial_state, updated
from punie.training.pretraining.tiny_architecture import TinyShape

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
    rates: Rates = field(default_factory=Rates)
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


class _Worker:
    """One thread with a stream of its own: what it computes runs beside the other worker.

    Each half is evaluated from its own thread, because one thread that feeds two streams keeps
    only a few operations ahead, and one stream then waits for the other.
    """

    def __init__(self, shape: TinyShape, rates: Rates, names: Sequence[str]) -> None:
        self.names = list(names)
        self._shape = shape
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="punie-training")
        self._stream = self._thread.submit(mx.new_stream, mx.Device(mx.cpu)).result()
        loss = partial(answer_loss, shape=shape)
        self._gradient = mx.compile(mx.value_and_grad(loss))
        self._update = mx.compile(partial(updated, rates=rates))

    def gradient(self, parameters: Parameters, batch: Batch, learned: float) -> "Future[_Half]":
        return self._thread.submit(self._gradient_now, parameters, batch, learned)

    def update(
        self,
        parameters: Parameters,
        gradients: Sequence[Parameters],
        state: State,
        scale: float,
        step: int,
    ) -> "Future[tuple[Parameters, State]]":
        return self._thread.submit(self._update_now, parameters, gradients, state, scale, step)

    def close(self) -> None:
        """End the stream in the thread that made it, then the thread."""
        self._thread.submit(mx.clear_streams).result()
        self._thread.shutdown()

    def _gradient_now(self, parameters: Parameters, batch: Batch, learned: float) -> "_Half":
        with mx.stream(self._stream):
            mask = causal_mask(*batch.tokens.shape, self._shape)
            arrays = [batch.tokens, batch.positions, batch.targets, batch.weights / learned]
            tokens, positions, targets, weights = (mx.array(array) for array in arrays)
            (loss, right), gradient = self._gradient(
                parameters, tokens, mask, positions, targets, weights
            )
            mx.eval(loss, right, gradient)
            return _Half(_number(loss), _number(right) / learned, gradient)

    def _update_now(
        self,
        parameters: Parameters,
        gradients: Sequence[Parameters],
        state: State,
        scale: float,
        step: int,
    ) -> tuple[Parameters, State]:
        own = set(self.names)
        with mx.stream(self._stream):
            result: tuple[Parameters, State] = self._update(
                {name: parameters[name] for name in self.names},
                [{name: gradient[name] for name in self.names} for gradient in gradients],
                {name: moment for name, moment in state.items() if name.split(".", 1)[1] in own},
                mx.array(scale),
                mx.array(float(step)),
            )
            mx.eval(result)
            return result


@dataclass(frozen=True)
class _Half:
    """What one worker found on its share of a batch."""

    loss: float
    right: float
    gradient: Parameters


class Workers:
    """The workers of a run; each computes a share of every gradient and of every update."""

    def __init__(self, shape: TinyShape, rates: Rates, count: int, names: Sequence[str]) -> None:
        self._workers = [
            _Worker(
                shape, rates, [name for name in names if _part(name, shape.layers, count) == number]
            )
            for number in range(count)
        ]

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.close()

    def step(
        self,
        parameters: Parameters,
        state: State,
        batches: Sequence[Batch],
        scale: float,
        number: int,
    ) -> tuple[Parameters, State, float, float]:
        """One optimiser step on at most one batch per worker.

        Returns:
            New weights and moments, the mean loss and the share of right guesses per learned
            token.
        """
        learned = max(1.0, float(sum(batch.weights.sum() for batch in batches)))
        pairs = zip(self._workers, batches, strict=False)
        asked = [worker.gradient(parameters, batch, learned) for worker, batch in pairs]
        found = [future.result() for future in asked]
        gradients = [half.gradient for half in found]
        waiting = [
            worker.update(parameters, gradients, state, scale, number) for worker in self._workers
        ]
        new: Parameters = {}
        moments: State = {}
        for future in waiting:
            weights, own = future.result()
            new |= weights
            moments |= own
        return new, moments, sum(half.loss for half in found), sum(half.right for half in found)


def _number(array: mx.array) -> float:
    value = array.item()
    assert isinstance(value, (int, float))
    return float(value)


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
    compute = mx.compile(partial(answer_scores, shape=shape))
    by_length = sorted(examples, key=lambda example: len(example.ids))
    for start in range(0, len(examples), rows):
        group = by_length[start : start + rows]
        batch = make_batch(group)
        mask = causal_mask(*batch.tokens.shape, shape)
        arrays = (mx.array(each) for each in (batch.tokens, batch.positions, batch.targets))
        tokens, positions, targets = arrays
        scores, guesses = compute(parameters, tokens, mask, positions, targets)
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
        # Threads may only share what is already computed.
        mx.eval(state)
    start = (progress.epoch, progress.batch)
    if progress.examples not in (0, len(training)):
        start = (progress.epoch + 1, 0)
    step, before = progress.step, progress.elapsed
    began = saved = validated = time.monotonic()
    limit = recipe.minutes * 60
    with (
        (out / "log.jsonl").open("a", encoding="utf-8") as log,
        Workers(shape, recipe.rates, recipe.workers, list(parameters)) as workers,
    ):

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
            scale = recipe.rate_scale(step, elapsed)
            parameters, state, loss, right = workers.step(
                parameters, state, batches, scale, step + 1
            )
            step += 1
            now = time.monotonic()
            progress = Progress(step, before + now - began, *position, len(training))
            tokens = sum(batch.text_tokens for batch in batches)
            note(
                {
                    "step": step,
                    "elapsed": round(progress.elapsed, 2),
                    "loss": round(loss, 4),
                    "accuracy": round(right, 4),
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
