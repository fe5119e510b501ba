"""The training loop: the halves of each batch are computed side by side, and summed."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from punie.training.curve import curve_from
from punie.training.distilling.teaching import Taught, Teaching
from punie.training.errors import TrainingError
from punie.training.pretraining.batches import Batch, Example, epochs, halves, make_batch
from punie.training.pretraining.checkpoint import Place, load_checkpoint, save_checkpoint
from punie.training.pretraining.network import (
    Parameters,
    answer_loss,
    answer_scores,
    causal_mask,
    initial_parameters,
    taught_loss,
)
from punie.training.pretraining.optimizer import Rates, State, initial_state, updated
from punie.training.pretraining.tiny_architecture import TinyShape
from punie.training.progress import Interrupted, Progress, Reporter, Stopped, never, quiet

_PARTS = 2


@dataclass(frozen=True)
class Recipe:
    """How a run trains. The result depends on all of it but the last three.

    Attributes:
        steps: optimiser steps; the learning rate ends at zero with them.
        tokens_per_batch: tokens, padding included, of one optimiser step.
        rates: peak learning rates.
        warm_up: optimiser steps until the peak is reached.
        hold: share of the steps spent at the peak before it falls linearly to zero.
        seed: of weights and order of the data.
        validation_steps: steps between validations.
        validation_examples: conversations of a validation during the run; the last takes all.
        workers: how many halves of a batch are computed at once, 1 or 2.
        checkpoint_seconds: time between checkpoints.
    """

    steps: int
    tokens_per_batch: int = 4096
    rates: Rates = field(default_factory=Rates)
    warm_up: int = 50
    hold: float = 0.3
    seed: int = 1
    validation_steps: int = 500
    validation_examples: int = 120
    workers: int = 2
    checkpoint_seconds: float = 120.0

    def rate_scale(self, step: int) -> float:
        """What the peak rates are multiplied with in a step counted from 0; from 0 to 1."""
        falling = min(1.0, (1 - step / self.steps) / (1 - self.hold))
        return max(0.0, min(1.0, (step + 1) / self.warm_up, falling))


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

    def __init__(self, shape: TinyShape, rates: Rates, teaching: Teaching | None) -> None:
        self._shape = shape
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="punie-training")
        self._stream = self._thread.submit(mx.new_stream, mx.Device(mx.cpu)).result()
        loss: Any = partial(answer_loss, shape=shape)
        if teaching is not None:
            weight, temperature = teaching.weight, teaching.temperature
            loss = partial(taught_loss, shape=shape, weight=weight, temperature=temperature)
        self._gradient = mx.compile(mx.value_and_grad(loss))
        self._update = mx.compile(partial(updated, rates=rates))

    def gradient(self, parameters: Parameters, batch: Batch, learned: float) -> "Future[_Half]":
        return self._thread.submit(self._gradient_now, parameters, batch, learned)

    def update(
        self,
        names: Sequence[str],
        parameters: Parameters,
        gradients: Sequence[Parameters],
        state: State,
        scale: float,
        step: int,
    ) -> "Future[tuple[Parameters, State]]":
        return self._thread.submit(
            self._update_now, names, parameters, gradients, state, scale, step
        )

    def close(self) -> None:
        """End the stream in the thread that made it, then the thread."""
        self._thread.submit(mx.clear_streams).result()
        self._thread.shutdown()

    def _gradient_now(self, parameters: Parameters, batch: Batch, learned: float) -> "_Half":
        with mx.stream(self._stream):
            mask = causal_mask(*batch.tokens.shape, self._shape)
            tokens = mx.array(batch.tokens)
            arrays: list[Any] = [batch.positions, batch.targets, batch.weights / learned]
            if (taught := batch.taught) is not None:
                arrays += [taught.ids, taught.log_probabilities, taught.known]
            (loss, right), gradient = self._gradient(
                parameters, tokens, mask, *(mx.array(array) for array in arrays)
            )
            mx.eval(loss, right, gradient)
            return _Half(_number(loss), _number(right) / learned, gradient)

    def _update_now(
        self,
        names: Sequence[str],
        parameters: Parameters,
        gradients: Sequence[Parameters],
        state: State,
        scale: float,
        step: int,
    ) -> tuple[Parameters, State]:
        own = set(names)
        with mx.stream(self._stream):
            result: tuple[Parameters, State] = self._update(
                {name: parameters[name] for name in names},
                [{name: gradient[name] for name in names} for gradient in gradients],
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
    """The workers of a run; they share the halves of every batch and of every update.

    The halves of an update are always the same, in the same order, so that neither the number of
    workers nor a checkpoint in between changes a sum.
    """

    def __init__(
        self,
        shape: TinyShape,
        rates: Rates,
        count: int,
        names: Sequence[str],
        teaching: Teaching | None = None,
    ) -> None:
        self._workers = [_Worker(shape, rates, teaching) for _ in range(count)]
        self._parts = [
            sorted(name for name in names if _part(name, shape.layers) == part)
            for part in range(_PARTS)
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
        """One optimiser step on the sum of some batches.

        Returns:
            New weights and moments, the mean loss and the share of right guesses per learned
            token.
        """
        learned = max(1.0, float(sum(batch.weights.sum() for batch in batches)))
        # Fewer workers than batches take turns: how many there are does not change a sum.
        asked = [
            self._workers[number % len(self._workers)].gradient(parameters, batch, learned)
            for number, batch in enumerate(batches)
        ]
        found = [future.result() for future in asked]
        gradients = [half.gradient for half in found]
        waiting = [
            self._workers[part % len(self._workers)].update(
                names, parameters, gradients, state, scale, number
            )
            for part, names in enumerate(self._parts)
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


def _part(name: str, layers: int) -> int:
    """In which half of an update a weight is: the blocks are dealt out evenly."""
    layer = int(name.split(".")[2]) if ".layers." in name else 0
    return layer * _PARTS // layers


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
    folder: Path,
    report: Reporter = quiet,
    stopped: Stopped = never,
    *,
    taught: Taught | None = None,
) -> Parameters:
    """Train to the last step and return the weights; a run that was interrupted goes on.

    Args:
        recipe: how to train.
        shape: what to train.
        training: conversations to learn.
        validation: conversations that are only measured; may be empty.
        folder: for `checkpoint.safetensors` and `log.jsonl`; a checkpoint in it is gone on from.
        report: told of every step.
        stopped: asked after every step.
        taught: a teacher of the training conversations, by their numbers.

    Raises:
        Interrupted: `stopped()`; the checkpoint is saved.
        TrainingError: the checkpoint cannot be used, the loss is not a number, or the data do not
            fill a batch.
    """
    run = _Run(recipe, shape, training, validation, folder, taught)
    with run.log() as note, run.workers() as workers:
        for following, examples in epochs(
            training, recipe.tokens_per_batch, recipe.seed, (run.place.epoch, run.place.batch)
        ):
            if run.place.step >= recipe.steps:
                break
            if stopped():
                run.save()
                raise Interrupted(
                    f"Stopped after {run.place.step} of {recipe.steps} steps; the same command "
                    "goes on from there."
                )
            values = run.step(workers, examples, following)
            note(values)
            report(Progress("training", run.place.step, recipe.steps, "steps", _shown(values)))
            run.now_and_then(note)
        run.save()
        if validation:
            note(run.measure(validation))
    return run.parameters


class _Run:
    """A run: weights, moments and the place in the data, and what is written of them."""

    def __init__(
        self,
        recipe: Recipe,
        shape: TinyShape,
        training: Sequence[Example],
        validation: Sequence[Example],
        folder: Path,
        taught: Taught | None,
    ) -> None:
        self._recipe, self._shape, self._folder = recipe, shape, folder
        self._taught = taught
        self._examples, self._validation = len(training), validation
        self._checkpoint = folder / "checkpoint.safetensors"
        if self._checkpoint.is_file():
            self.parameters, self._state, self.place = load_checkpoint(self._checkpoint, shape)
            if self.place.examples != self._examples:
                raise TrainingError(
                    f"The checkpoint in {folder} is of {self.place.examples} conversations and "
                    f"there are {self._examples}; remove the folder to start again."
                )
        else:
            self.parameters = initial_parameters(shape, recipe.seed)
            self._state = initial_state(self.parameters)
            self.place = Place(examples=self._examples)
            # Threads may only share what is already computed.
            mx.eval(self._state)
        self._began = self._saved = time.monotonic()
        self._before = self.place.elapsed

    @contextmanager
    def log(self) -> Iterator[Callable[[Mapping[str, Any]], None]]:
        """Yield what writes a line of `log.jsonl`; lines after the checkpoint are taken back."""
        with curve_from(self._folder / "log.jsonl", self.place.step) as note:
            yield note

    def workers(self) -> Workers:
        """Return the threads that compute."""
        recipe = self._recipe
        teaching = None if self._taught is None else self._taught.teaching
        names = list(self.parameters)
        return Workers(self._shape, recipe.rates, recipe.workers, names, teaching)

    def step(
        self, workers: Workers, examples: Sequence[Example], following: tuple[int, int]
    ) -> dict[str, Any]:
        """Do one optimiser step; return what is logged of it."""
        began = time.monotonic()
        scale = self._recipe.rate_scale(self.place.step)
        batches = halves(examples, None if self._taught is None else self._taught.source)
        self.parameters, self._state, loss, right = workers.step(
            self.parameters, self._state, batches, scale, self.place.step + 1
        )
        if not math.isfinite(loss):
            raise TrainingError(
                f"The loss is not a number any more after {self.place.step} steps; lower the "
                "learning rates."
            )
        now = time.monotonic()
        elapsed = self._before + now - self._began
        self.place = Place(self.place.step + 1, elapsed, *following, self._examples)
        tokens = sum(batch.text_tokens for batch in batches)
        return {
            "step": self.place.step,
            "elapsed": round(elapsed, 2),
            "loss": round(loss, 4),
            "accuracy": round(right, 4),
            "tokens_per_second": round(tokens / (now - began)),
            "scale": round(scale, 4),
            "epoch": following[0],
        }

    def now_and_then(self, note: Callable[[Mapping[str, Any]], None]) -> None:
        """Save and measure when it is time."""
        recipe = self._recipe
        if time.monotonic() - self._saved >= recipe.checkpoint_seconds:
            self.save()
        step = self.place.step
        if step % recipe.validation_steps == 0 and step < recipe.steps and self._validation:
            note(self.measure(self._validation[: recipe.validation_examples]))

    def measure(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Return what is logged of a validation."""
        result = validate(self.parameters, examples, self._shape)
        return {"step": self.place.step, "elapsed": round(self.place.elapsed, 2)} | vars(result)

    def save(self) -> None:
        """Replace the checkpoint."""
        save_checkpoint(self._checkpoint, self.parameters, self._state, self.place, self._shape)
        self._saved = time.monotonic()


def _shown(values: dict[str, Any]) -> dict[str, float | int | str]:
    return {
        "loss": float(values["loss"]),
        "right": f"{values['accuracy']:.1%}",
        "tokens/s": int(values["tokens_per_second"]),
    }
