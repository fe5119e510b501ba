"""The state of a tuning run on disk: all that decides how it goes on."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx

from punie.training.arrays import save_arrays
from punie.training.errors import TrainingError
from punie.training.tuning.batches import Place

CHECKPOINT = "checkpoint.safetensors"

_WEIGHT, _STATE = "weight:", "state:"


@dataclass(frozen=True)
class Checkpoint:
    """A run between two steps.

    Attributes:
        step: optimiser steps done.
        place: how far it is in the data.
        weights: what is trained, by name.
        state: of the optimiser, by name.
    """

    step: int
    place: Place
    weights: dict[str, mx.array]
    state: dict[str, mx.array]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint in `folder`; a kill or a full disk leaves the old one.

    Raises:
        TrainingError: it cannot be written, or a weight is no finite number.
    """
    finite = mx.stack([mx.isfinite(weight).all() for weight in checkpoint.weights.values()])
    if not finite.all().item():
        raise TrainingError(
            f"After step {checkpoint.step} some weights are no finite numbers; choose a lower "
            f"learning rate. {kept(folder)}"
        )
    arrays = {_WEIGHT + name: array for name, array in checkpoint.weights.items()}
    arrays |= {_STATE + name: array for name, array in checkpoint.state.items()}
    described = {"step": checkpoint.step, "place": asdict(checkpoint.place)}
    save_arrays(
        folder / CHECKPOINT,
        arrays,
        {name: json.dumps(value) for name, value in described.items()},
    )


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """Read the checkpoint in `folder`; None if there is none.

    Raises:
        TrainingError: it cannot be read.
    """
    file = folder / CHECKPOINT
    if not file.is_file():
        return None
    try:
        loaded: Any = mx.load(str(file), return_metadata=True)
        arrays, described = loaded
        found = Checkpoint(
            step=int(described["step"]),
            place=Place(**json.loads(described["place"])),
            weights=_with(_WEIGHT, arrays),
            state=_with(_STATE, arrays),
        )
        mx.eval(found.weights, found.state)
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(
            f"The checkpoint {file} cannot be read ({error}); remove {folder} to start again."
        ) from error
    return found


def kept(folder: Path) -> str:
    """Say which checkpoint is there, in a sentence."""
    try:
        found = load_checkpoint(folder)
    except TrainingError:
        found = None
    if found is None:
        return "There was no checkpoint yet."
    return f"The last good checkpoint, of step {found.step}, stays in {folder / CHECKPOINT}."


def _with(prefix: str, arrays: dict[str, mx.array]) -> dict[str, mx.array]:
    start = len(prefix)
    return {name[start:]: array for name, array in arrays.items() if name.startswith(prefix)}
