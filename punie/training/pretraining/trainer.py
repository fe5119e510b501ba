"""The training loop: steps, checkpoints, validations and the log."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlx.core as mx

from punie.training.curve import curve_from
from punie.training.distilling.teaching import Taught
from punie.training.errors import TrainingError
from punie.training.pretraining.batches import Example, epochs, halves
from punie.training.pretraining.checkpoint import Place, load_checkpoint, save_checkpoint
from punie.training.pretraining.network import Parameters, initial_parameters
from punie.training.pretraining.optimizer import Rates, initial_state
from punie.training.pretraining.tiny_architecture import TinyShape
from punie.training.pretraining.validation import validate
from punie.training.pretraining.workers import Workers
from punie.training.progress import Interrupted, Progress, Reporter, Stopped, never, quiet


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
            "loss": round(max(0.0, loss), 4),
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
