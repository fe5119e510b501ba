"""What a model says at the positions that matter, without computing it anywhere else.

A vocabulary is far wider than a model: at 150,000 tokens the logits of a sequence of 2,048 take
1.2 GB. Only what comes before a learned token is compared with anything, so only that is computed.
"""

from typing import Any

import mlx.core as mx

_PLAIN_HEADS = frozenset({"llama", "qwen2", "qwen3", "qwen3_moe", "qwen3_next"})
"""Families of mlx-lm that are a stack of layers and a head (or tied embeddings), and no more."""


def answer_logits(model: Any, tokens: mx.array, positions: mx.array) -> mx.array:
    """Return the logits at some positions.

    Args:
        model: a loaded model of mlx-lm.
        tokens: (rows, length) ids, padded on the right.
        positions: (N,) flat indices (row * length + column).

    Returns:
        (N, vocabulary) in the model's type.
    """
    if getattr(model, "model_type", None) not in _PLAIN_HEADS:
        logits: mx.array = model(tokens)
        return logits.reshape(-1, logits.shape[-1])[positions]
    states = model.model(tokens)
    chosen = states.reshape(-1, states.shape[-1])[positions]
    if "lm_head" in model:
        head: mx.array = model.lm_head(chosen)
    else:
        head = model.model.embed_tokens.as_linear(chosen)
    return head


def missed(logits: mx.array, targets: mx.array) -> mx.array:
    """Return the negative log likelihood of each target in float32, (N,)."""
    logits = logits.astype(mx.float32)
    chosen = mx.take_along_axis(logits, targets[:, None], axis=-1).squeeze(-1)
    return mx.logsumexp(logits, axis=-1) - chosen
