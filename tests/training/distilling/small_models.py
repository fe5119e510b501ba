"""Random models of the sample's shape, for tests of distilling."""

from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from punie.models.mlx.chat_format import ChatFormat
from punie.models.mlx.library import load_model
from punie.training.data.dataset import open_dataset
from punie.training.encoding import encode_part
from punie.training.fusing import load_with_adapter, read_adapter
from punie.training.pretraining.batches import make_batch
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


def opinionated(folder: Path, seed: int) -> Path:
    """Write a random model that does not hold all tokens for nearly equally likely."""
    random_model(folder, seed)
    arrays: Any = mx.load(str(folder / "model.safetensors"))
    arrays["model.embed_tokens.weight"] = arrays["model.embed_tokens.weight"] * 10
    mx.save_safetensors(str(folder / "model.safetensors"), arrays)
    return folder


def divergence(teacher: Path, student: Path, data: Path, adapter: Path | None = None) -> float:
    """Return the mean divergence of a student from a teacher at the learned tokens of "valid"."""
    found = encode_part(ChatFormat.load(teacher), open_dataset(data), "valid", 2048)
    batch = make_batch(found.sequences)
    tokens = mx.array(batch.tokens)
    own = loaded(student) if adapter is None else load_with_adapter(student, read_adapter(adapter))
    p, q = (log_softmax(np.array(model(tokens))) for model in (loaded(teacher), own))
    each = (np.exp(p) * (p - q)).sum(-1).reshape(-1)
    return float(each[batch.positions[: int(batch.weights.sum())]].mean())


def log_softmax(logits: Any) -> Any:
    """Return log probabilities, in double precision."""
    values = logits.astype(np.float64)
    return values - np.log(np.exp(values).sum(-1, keepdims=True))
