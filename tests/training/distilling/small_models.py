"""Random models of the sample's shape, for tests of distilling."""

from pathlib import Path
from typing import Any

from punie.models.mlx.library import load_model
from punie.training.pretraining.checkpoint import save_weights
from punie.training.pretraining.network import initial_parameters
from tests.training.sample_conversations import SHAPE, model_folder


def random_model(folder: Path, seed: int = 1) -> Path:
    """Write a model folder with the sample's tokenizer and random weights."""
    model_folder(folder)
    save_weights(folder, initial_parameters(SHAPE, seed))
    return folder


def loaded(folder: Path) -> Any:
    """Return a model in memory."""
    return load_model(folder)[0]
