"""Saving a training run so that it can go on, and saving its result as a model directory."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx

from punie.training.pretraining.network import Parameters
from punie.training.pretraining.optimizer import State
from punie.training.pretraining.tiny_architecture import TinyShape, write_description


class CheckpointError(Exception):
    """A checkpoint cannot be used; the message is one sentence."""


@dataclass(frozen=True)
class Progress:
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
    file: Path, parameters: Parameters, state: State, progress: Progress, shape: TinyShape
) -> None:
    """Replace `file` by the present state of the run; a kill leaves the old or the new one."""
    arrays = {f"weight:{name}": array for name, array in parameters.items()}
    arrays |= {f"state:{name}": array for name, array in state.items()}
    described = {"progress": json.dumps(asdict(progress)), "shape": json.dumps(shape.as_dict())}
    unfinished = file.with_name(f"{file.stem}.unfinished.safetensors")
    mx.save_safetensors(str(unfinished), arrays, described)
    unfinished.replace(file)


def load_checkpoint(file: Path, shape: TinyShape) -> tuple[Parameters, State, Progress]:
    """Read what `save_checkpoint` wrote.

    Raises:
        CheckpointError: there is no checkpoint, it is broken, or it is of another shape.
    """
    if not file.is_file():
        raise CheckpointError(f"there is no checkpoint to go on from at {file}")
    try:
        loaded: Any = mx.load(str(file), return_metadata=True)
        arrays, described = loaded
        progress = Progress(**json.loads(described["progress"]))
        saved = TinyShape(**json.loads(described["shape"]))
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"the checkpoint {file} cannot be read: {error}") from error
    if saved != shape:
        raise CheckpointError(f"the checkpoint {file} is of another shape: {saved}")
    weights = {name[7:]: array for name, array in arrays.items() if name.startswith("weight:")}
    state = {name[6:]: array for name, array in arrays.items() if name.startswith("state:")}
    mx.eval(weights, state)
    return weights, state, progress


def export_model(folder: Path, parameters: Parameters, shape: TinyShape) -> None:
    """Write weights, config and template; with the tokenizer's files it is a whole model."""
    folder.mkdir(parents=True, exist_ok=True)
    write_description(folder, shape)
    unfinished = folder / "model.unfinished.safetensors"
    mx.save_safetensors(str(unfinished), dict(sorted(parameters.items())), {"format": "mlx"})
    unfinished.replace(folder / "model.safetensors")
