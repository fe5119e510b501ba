"""Saving a training run so that it can go on, and saving its result as a model directory."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx

from punie.training.arrays import save_arrays
from punie.training.errors import TrainingError
from punie.training.pretraining.network import Parameters
from punie.training.pretraining.optimizer import State
from punie.training.pretraining.tiny_architecture import TinyShape


@dataclass(frozen=True)
class Place:
    """How far a training run has come.

    Attributes:
        step: optimiser steps done.
        elapsed: seconds of training done, over all starts.
        epoch: the pass over the data that is under way.
        batch: how many of its batches are done.
        examples: number of training conversations; another number means other data.
    """

    step: int = 0
    elapsed: float = 0.0
    epoch: int = 0
    batch: int = 0
    examples: int = 0


def save_checkpoint(
    file: Path, parameters: Parameters, state: State, place: Place, shape: TinyShape
) -> None:
    """Replace `file` by the present state of the run; a kill leaves the old or the new one."""
    arrays = {f"weight:{name}": array for name, array in parameters.items()}
    arrays |= {f"state:{name}": array for name, array in state.items()}
    described = {"place": json.dumps(asdict(place)), "shape": json.dumps(shape.as_dict())}
    save_arrays(file, arrays, described)


def load_checkpoint(file: Path, shape: TinyShape) -> tuple[Parameters, State, Place]:
    """Read what `save_checkpoint` wrote.

    Raises:
        TrainingError: there is no checkpoint, it is broken, or it is of another shape.
    """
    if not file.is_file():
        raise TrainingError(f"There is no checkpoint to go on from at {file}.")
    try:
        loaded: Any = mx.load(str(file), return_metadata=True)
        arrays, described = loaded
        place = Place(**json.loads(described["place"]))
        saved = TinyShape(**json.loads(described["shape"]))
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(
            f"The checkpoint {file} cannot be read ({error}); remove its folder to start again."
        ) from error
    if saved != shape:
        raise TrainingError(
            f"The checkpoint {file} is of another shape ({saved}); remove its folder."
        )
    weights = {name[7:]: array for name, array in arrays.items() if name.startswith("weight:")}
    state = {name[6:]: array for name, array in arrays.items() if name.startswith("state:")}
    mx.eval(weights, state)
    return weights, state, place


def save_weights(folder: Path, parameters: Parameters) -> None:
    """Write a model's weights; with description and tokenizer the folder is a whole model."""
    save_arrays(folder / "model.safetensors", dict(sorted(parameters.items())), {"format": "mlx"})
