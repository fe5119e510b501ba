"""The loop of a tuning run: gradients of batches, a step of the optimiser, and where it stands.

The step is compiled as mlx-lm's is. Beyond mlx-lm's loop it takes a mark for each token instead of
one prompt before one answer, computes logits only where a token is learned, gives every learned
token of a step the same weight however its batches are cut, and goes on from a checkpoint with the
same bits.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np
from mlx.nn.utils import value_and_grad
from mlx.utils import tree_map, tree_unflatten

from punie.training.answer_logits import answer_logits, missed
from punie.training.curve import curve_from
from punie.training.distilling.losses import teacher_divergence
from punie.training.distilling.teaching import Taught, Teaching
from punie.training.errors import TrainingError
from punie.training.pretraining.batches import Batch, Example, make_batch
from punie.training.progress import Interrupted, Progress, Reporter, Stopped
from punie.training.tuning.batches import Place, endless
from punie.training.tuning.checkpoint import Checkpoint, kept, load_checkpoint, save_checkpoint
from punie.training.tuning.layers import trainable
from punie.training.tuning.optimizer import make_optimizer, restore_state, state_arrays
from punie.training.tuning.options import TuneOptions

CURVE = "curve.jsonl"

_CACHED_BYTES = 512 << 20
"""Freed memory that MLX may keep between steps for those of the same shape."""

Validate = Callable[[], Mapping[str, float]]
"""Measures the model as it is; returns what is noted in the curve."""

_Gradient = Any


class Step:
    """One step of the optimiser, compiled; it changes the model and the optimiser's state."""

    def __init__(
        self,
        model: Any,
        optimizer: optim.Optimizer,
        clip: float,
        teaching: Teaching | None = None,
    ) -> None:
        """Compile for a model that is in the mode for training; `clip` as in the options.

        With `teaching` every batch has to bring what a teacher says to it.
        """
        self._optimizer = optimizer
        loss = partial(_loss, model) if teaching is None else partial(_taught_loss, model, teaching)
        gradient = value_and_grad(model, loss)
        state = [model.state, optimizer.state, mx.random.state]

        @partial(mx.compile, inputs=state, outputs=state)
        def compute(
            arrays: tuple[mx.array, ...], gathered: _Gradient, last: bool
        ) -> tuple[mx.array, mx.array, _Gradient]:
            loss, found = gradient(*arrays)
            if gathered is not None:
                found = tree_map(mx.add, found, gathered)
            if not last:
                return loss, mx.array(0.0), found
            found, norm = _clipped(found, clip)
            optimizer.update(model, found)
            return loss, norm, None

        self._compute, self._state = compute, state

    def __call__(self, batches: Sequence[Batch]) -> tuple[float, float]:
        """Learn some batches; return the mean loss of a learned token and the gradient's norm."""
        learned = float(sum(batch.weights.sum() for batch in batches))
        total, norm, gathered = 0.0, mx.array(0.0), None
        for number, batch in enumerate(batches, 1):
            arrays: list[Any] = [batch.tokens, batch.positions, batch.targets]
            arrays.append(batch.weights / learned)
            if (taught := batch.taught) is not None:
                arrays += [taught.ids, taught.log_probabilities, taught.known]
            loss, norm, gathered = self._compute(
                tuple(mx.array(each) for each in arrays), gathered, number == len(batches)
            )
            mx.eval(self._state, loss, norm, gathered)
            total += _number(loss)
        if mx.get_cache_memory() > _CACHED_BYTES:
            mx.clear_cache()
        return total, _number(norm)

    @property
    def learning_rate(self) -> float:
        """The rate of the last step."""
        return _number(self._optimizer.learning_rate)


def train(
    options: TuneOptions,
    model: Any,
    sequences: Sequence[Example],
    folder: Path,
    validate: Validate | None,
    report: Reporter,
    stopped: Stopped,
    *,
    checkpoint_seconds: float,
    taught: Taught | None = None,
) -> None:
    """Train a model to the last step; goes on from a checkpoint in `folder`.

    Args:
        options: how.
        model: what is trained of it is not frozen.
        sequences: what it learns.
        folder: for the checkpoint and the curve.
        validate: called before the first step, now and then, and after the last.
        report: told of every step.
        stopped: asked after every step.
        checkpoint_seconds: time between checkpoints.
        taught: a teacher of the sequences, by their numbers.

    Raises:
        Interrupted: `stopped()`; the checkpoint is saved.
        TrainingError: a loss or weight is no finite number, or the disk is full.
    """
    run = _Run(options, model, folder, taught)
    with curve_from(folder / CURVE, run.step) as note:
        if run.step == 0 and validate is not None:
            note({"step": 0, **validate()})
        steps = run.steps(sequences)
        saved = time.monotonic()
        while run.step < options.steps:
            if stopped():
                run.save()
                raise Interrupted(
                    f"Stopped after {run.step} of {options.steps} steps; the same command goes on "
                    "from there."
                )
            row = next(steps)
            due = run.step % options.validation_steps == 0 or run.step == options.steps
            if due and validate is not None:
                row |= validate()
            note(row)
            report(Progress("training", run.step, options.steps, "steps", _shown(row)))
            if time.monotonic() - saved >= checkpoint_seconds or run.step == options.steps:
                run.save()
                saved = time.monotonic()


class _Run:
    """A run between two steps."""

    def __init__(
        self, options: TuneOptions, model: Any, folder: Path, taught: Taught | None
    ) -> None:
        self._options, self._model, self._folder = options, model, folder
        self._teacher = None if taught is None else taught.source
        self._optimizer = make_optimizer(options)
        self._optimizer.init(model.trainable_parameters())
        self.step, self._place = 0, Place()
        found = load_checkpoint(folder)
        if found is not None:
            weights = {name: array.shape for name, array in trainable(model).items()}
            if weights != {name: array.shape for name, array in found.weights.items()}:
                raise TrainingError(
                    f"The checkpoint in {folder} is of other weights; remove it to start again."
                )
            model.update(tree_unflatten(list(found.weights.items())))
            restore_state(self._optimizer, found.state)
            self.step, self._place = found.step, found.place
        model.train()
        mx.eval(model.state, self._optimizer.state)
        teaching = None if taught is None else taught.teaching
        self._compiled = Step(model, self._optimizer, options.clip, teaching)

    def steps(self, sequences: Sequence[Example]) -> Iterator[dict[str, Any]]:
        """Do one step after the other; yield what is noted of each."""
        options = self._options
        lengths = [len(sequence.ids) for sequence in sequences]
        batches = endless(lengths, options.batch, options.seed, self._place)
        while True:
            began = time.perf_counter()
            chosen = [next(batches) for _ in range(options.accumulate)]
            made = [
                make_batch([sequences[index] for index in rows], self._teacher)
                for _, rows in chosen
            ]
            # Of a seed of its own, what dropout draws in a step depends on no step before it.
            mx.random.seed(_seed(options.seed, self.step))
            loss, norm = self._compiled(made)
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise TrainingError(
                    f"In step {self.step + 1} the loss or its gradient is no finite number; choose "
                    f"a lower learning rate. {kept(self._folder)}"
                )
            self.step += 1
            self._place = chosen[-1][0]
            seconds = time.perf_counter() - began
            yield {
                "step": self.step,
                "train_loss": loss,
                "gradient": norm,
                "learning_rate": self._compiled.learning_rate,
                "tokens_per_second": sum(batch.text_tokens for batch in made) / seconds,
                "learned_per_second": float(sum(np.sum(b.weights) for b in made)) / seconds,
                "peak_memory": mx.get_peak_memory(),
            }

    def save(self) -> None:
        """Replace the checkpoint."""
        checkpoint = Checkpoint(
            step=self.step,
            place=self._place,
            weights=trainable(self._model),
            state=state_arrays(self._optimizer),
        )
        save_checkpoint(self._folder, checkpoint)


def _loss(
    model: Any, tokens: mx.array, positions: mx.array, targets: mx.array, weights: mx.array
) -> mx.array:
    """Return the weighted sum of what the learned tokens miss."""
    return (missed(answer_logits(model, tokens, positions), targets) * weights).sum()


def _clipped(gradient: _Gradient, limit: float) -> tuple[_Gradient, mx.array]:
    """Return a gradient no longer than `limit`, if that is not 0, and how long it was."""
    clip: Any = optim.clip_grad_norm
    clipped, norm = clip(gradient, limit or math.inf)
    return clipped, norm


def _taught_loss(
    model: Any,
    teaching: Teaching,
    tokens: mx.array,
    positions: mx.array,
    targets: mx.array,
    weights: mx.array,
    ids: mx.array,
    log_probabilities: mx.array,
    known: mx.array,
) -> mx.array:
    """Return the same with what a teacher says; see `Teaching`."""
    logits = answer_logits(model, tokens, positions).astype(mx.float32)
    alone = missed(logits, targets)
    divergence = teacher_divergence(logits, ids, log_probabilities, teaching.temperature)
    mixed = (1 - teaching.weight) * alone + teaching.weight * divergence
    return (mx.where(known, mixed, alone) * weights).sum()


def _shown(row: Mapping[str, Any]) -> dict[str, float | int | str]:
    shown: dict[str, float | int | str] = {"loss": float(row["train_loss"])}
    if "valid_loss" in row:
        shown["valid"] = float(row["valid_loss"])
    shown["tokens/s"] = int(row["tokens_per_second"])
    shown["memory"] = f"{row['peak_memory'] / 1e9:.2f} GB"
    return shown


def _seed(seed: int, step: int) -> int:
    return int(np.random.SeedSequence((seed, step)).generate_state(1)[0])


def _number(array: mx.array) -> float:
    value = array.item()
    assert isinstance(value, (int, float))
    return float(value)
