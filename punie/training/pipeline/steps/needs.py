"""What steps take, told from a model's config.json alone."""

from pathlib import Path
from typing import Any

from punie.models.catalog import read_json_object
from punie.training.errors import TrainingError
from punie.training.pipeline.step import Need


def conversion_need(options: Any, model: Path | None) -> Need:
    """Return what fusing or quantising a model takes; nothing is known of one that is not there."""
    if model is None:
        return Need()
    from punie.training.quantizing.estimate import estimate_conversion

    try:
        found = estimate_conversion(options, read_json_object(model / "config.json"))
    except TrainingError as error:
        return Need(refused=str(error))
    notes = [f"{found.bits_per_weight:.3f} bits per weight"]
    if found.left_out:
        notes.append(f"{len(found.left_out)} layers stay as they are")
    return Need(memory=found.memory, disk=found.after, notes=tuple(notes))
