"""What steps take, told from a model's config.json alone."""

from typing import Any

from punie.training.errors import TrainingError
from punie.training.pipeline.step import Need


def conversion_need(options: Any, config: dict[str, Any] | None) -> Need:
    """Return what fusing or quantising a model takes; nothing is known of one that is not there."""
    if config is None:
        return Need()
    from punie.training.quantizing.estimate import estimate_conversion

    try:
        found = estimate_conversion(options, config)
    except TrainingError as error:
        return Need(refused=str(error))
    notes = [f"{found.bits_per_weight:.3f} bits per weight"]
    if found.left_out:
        notes.append(f"{len(found.left_out)} layers stay as they are")
    return Need(memory=found.memory, disk=found.after, notes=tuple(notes))
