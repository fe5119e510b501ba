"""MLX's optimisers, with the learning rate of each step."""

from collections.abc import Callable
from typing import Any, assert_never

import mlx.core as mx
import mlx.optimizers as optim
from mlx.utils import tree_flatten, tree_unflatten

from punie.training.errors import TrainingError
from punie.training.tuning.options import TuneOptions


def make_optimizer(options: TuneOptions) -> optim.Optimizer:
    """Return the optimiser, with no state yet."""
    rate, decay = schedule(options), options.weight_decay
    match options.optimizer:
        case "adam":
            return optim.Adam(rate)
        case "adamw":
            return optim.AdamW(rate, weight_decay=decay)
        case "muon":
            return optim.Muon(rate, weight_decay=decay)
        case "sgd":
            return optim.SGD(rate)
        case "adafactor":
            # By default it chooses its own rate and takes no notice of the one that it is given.
            return optim.Adafactor(
                rate, weight_decay=decay, relative_step=False, scale_parameter=False
            )
        case _:
            assert_never(options.optimizer)


def schedule(options: TuneOptions) -> Callable[[mx.array], mx.array]:
    """Return what gives the learning rate of a step, counted from 0."""
    peak, warm_up = options.learning_rate, options.warm_up
    last, steps = options.learning_rate * options.end, options.steps - options.warm_up
    match options.schedule:
        case "constant":
            after: Callable[[mx.array], mx.array] = _constant(peak)
        case "linear":
            after = optim.linear_schedule(peak, last, steps)
        case "cosine":
            after = optim.cosine_decay(peak, steps, last)
        case _:
            assert_never(options.schedule)
    if not warm_up:
        return after
    rising = optim.linear_schedule(peak / warm_up, peak, warm_up)
    joined: Callable[[mx.array], mx.array] = optim.join_schedules([rising, after], [warm_up])
    return joined


def state_arrays(optimizer: optim.Optimizer) -> dict[str, mx.array]:
    """Return the state of an optimiser by name."""
    return dict(tree_flatten(optimizer.state))


def restore_state(optimizer: optim.Optimizer, arrays: dict[str, mx.array]) -> None:
    """Put back what `state_arrays` returned; the optimiser has to be initialised.

    Raises:
        TrainingError: it is the state of another optimiser or of other weights.
    """
    wanted = {name: array.shape for name, array in state_arrays(optimizer).items()}
    if wanted != {name: array.shape for name, array in arrays.items()}:
        raise TrainingError(
            "The checkpoint is of another optimiser or of other weights; remove its folder to "
            "start again."
        )
    state: Any = tree_unflatten(list(arrays.items()))
    optimizer.state = state


def _constant(rate: float) -> Callable[[mx.array], mx.array]:
    return lambda step: mx.array(rate)
