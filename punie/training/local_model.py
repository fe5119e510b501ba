"""A model that steps of training can read: one that lies on this machine as a folder."""

from pathlib import Path

from punie.models.catalog import resolve_model
from punie.training.errors import TrainingError


def local_model(reference: str) -> Path:
    """Return the folder of a model named as on the command line.

    Raises `ModelUnavailable` if there is no such model, and `TrainingError` for one without
    weights on this machine: a script or one that a server has.
    """
    choice = resolve_model(reference)
    if choice.path is None or choice.source == "scripted":
        raise TrainingError(
            f"{choice.id} has no weights on this machine; name a model folder or one that was "
            "downloaded."
        )
    return choice.path
