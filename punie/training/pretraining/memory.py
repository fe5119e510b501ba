"""What memory it takes to train a small model from nothing, before anything is tried."""

from punie.models.architecture import read_architecture
from punie.training.activations import activation_bytes
from punie.training.pretraining.batches import padded_length
from punie.training.pretraining.run import PretrainOptions
from punie.training.pretraining.tiny_architecture import config

_FLOAT32 = 4
_COPIES = 8
"""Weights, old and new, the gradients of both halves of a batch, and moments, old and new."""
_LOGITS = 4
"""The logits of a learned token, their exponentials, and the gradients of both."""


def pretraining_memory(options: PretrainOptions, longest: int) -> int:
    """Return the bytes that MLX needs at most, for conversations of up to `longest` tokens."""
    shape = options.shape
    architecture = read_architecture(config(shape))
    assert architecture is not None
    length = padded_length(min(longest, options.window))
    # Both halves of a batch are computed at once, and each has at least one row.
    rows = 2 * max(1, options.tokens // (2 * length))
    return (
        _COPIES * _FLOAT32 * shape.parameter_count
        + activation_bytes(architecture, rows, length, layers=shape.layers)
        + _LOGITS * _FLOAT32 * rows * length * shape.vocab_size
    )
