"""Writing arrays to disk, whole or not at all."""

from collections.abc import Mapping
from pathlib import Path

import mlx.core as mx

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
        unfinished.replace(file)
    except (OSError, RuntimeError) as error:
        unfinished.unlink(missing_ok=True)
        cause = error if isinstance(error, OSError) else OSError(str(error))
        raise TrainingError(written_in_words(cause, file)) from error
