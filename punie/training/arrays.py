"""Writing arrays to disk, whole or not at all."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import mlx.core as mx

from punie.models.catalog import ModelUnavailable
from punie.models.memory import gigabytes
from punie.models.weights import read_header
from punie.training.errors import TrainingError
from punie.training.output import written_in_words


def save_arrays(file: Path, arrays: Mapping[str, mx.array], described: Mapping[str, str]) -> None:
    """Replace a safetensors file; a kill or a full disk leaves the old one.

    Raises:
        TrainingError: there is no room or no permission to write.
    """
    unfinished = file.with_name(f".{file.stem}.unfinished.safetensors")
    try:
        mx.save_safetensors(str(unfinished), dict(arrays), dict(described))
        # MLX does not tell every write that fails.
        if not is_whole(unfinished, arrays):
            raise RuntimeError("it was cut off")
        unfinished.replace(file)
    except OSError as error:
        raise TrainingError(written_in_words(error, file)) from error
    except RuntimeError as error:
        free = shutil.disk_usage(file.parent).free
        raise TrainingError(
            f"{file} was not written ({str(error).strip() or 'no reason told'}; "
            f"{gigabytes(free)} are free on the disk); make room and start again."
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)


def is_whole(file: Path, arrays: Mapping[str, mx.array]) -> bool:
    """Tell whether a safetensors file holds arrays of these names and sizes to their last byte."""
    if not file.is_file():
        return False
    try:
        there = read_header(file)
    except ModelUnavailable:
        return False
    return {name: (tensor.shape, tensor.nbytes) for name, tensor in there.items()} == {
        name: (tuple(array.shape), array.nbytes) for name, array in arrays.items()
    }
