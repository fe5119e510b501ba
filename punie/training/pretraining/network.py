"""The Qwen3 network as a plain function, written for speed on a CPU.

It computes what `mlx_lm.models.qwen3` computes and takes the same weights under the same names; a
test holds the two together. The differences are all about time: exponentials are polynomials that
a compiler can vectorise, attention is normalised after the product with the values, and the
vocabulary is only scored at the positions that are learned.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import mlx.core as mx
import numpy as np

from punie.training.distilling.losses import teacher_divergence
from punie.training.pretraining.tiny_architecture import TinyShape

Parameters = dict[str, mx.array]

# Above this an fp32 exponential overflows soon; scores of a healthy network stay far below it.
_HIGHEST_SCORE = 80.0


def initial_parameters(shape: TinyShape, seed: int) -> Parameters:
    """Random weights under the names of mlx_lm's Qwen3; the same seed gives the same weights."""
    key = mx.random.key(seed)
    hidden, head = shape.hidden_size, shape.head_dim
    queries, keys = shape.attention_heads * head, shape.key_value_heads * head
    parameters: Parameters = {"model.norm.weight": mx.ones((hidden,))}

    def matrix(name: str, rows: int, columns: int, deviation: float) -> None:
        nonlocal key
        key, own = mx.random.split(key)
        parameters[name] = mx.random.normal((rows, columns), key=own) * deviation

    matrix("model.embed_tokens.weight", shape.vocab_size, hidden, 0.02)
    narrow = hidden**-0.5
    for layer in range(shape.layers):
        prefix = f"model.layers.{layer}."
        for norm, width in (
            ("input_layernorm", hidden),
            ("post_attention_layernorm", hidden),
            ("self_attn.q_norm", head),
            ("self_attn.k_norm", head),
        ):
            parameters[f"{prefix}{norm}.weight"] = mx.ones((width,))
        matrix(f"{prefix}self_attn.q_proj.weight", queries, hidden, narrow)
        matrix(f"{prefix}self_attn.k_proj.weight", keys, hidden, narrow)
        matrix(f"{prefix}self_attn.v_proj.weight", keys, hidden, narrow)
        matrix(f"{prefix}self_attn.o_proj.weight", hidden, queries, 0.02)
        matrix(f"{prefix}mlp.gate_proj.weight", shape.intermediate_size, hidden, narrow)
        matrix(f"{prefix}mlp.up_proj.weight", shape.intermediate_size, hidden, narrow)
        matrix(f"{prefix}mlp.down_proj.weight", hidden, shape.intermediate_size, 0.02)
    mx.eval(parameters)
    return parameters


def _power(x: mx.array) -> mx.array:
    """e**x from additions and products only (relative error below 3e-5 from -87 to 80)."""
    y = mx.maximum(mx.minimum(x, _HIGHEST_SCORE), -87.0) * (1 / 256)
    result = 1 + y * (1 + y * (0.5 + y * (1 / 6 + y * (1 / 24))))
    for _ in range(8):
        result = result * result
    return result


def _custom(function: Callable[..., mx.array]) -> Any:
    return mx.custom_function(function)


@_custom
def _exponential(x: mx.array) -> mx.array:
    return _power(x)


@_exponential.vjp  # type: ignore[untyped-decorator]
def _exponential_vjp(primals: mx.array, cotangent: mx.array, output: mx.array) -> mx.array:
    return output * cotangent


@_custom
def _masked_exponential(scores: mx.array, mask: mx.array) -> mx.array:
    return _power(scores) * mask


@_masked_exponential.vjp  # type: ignore[untyped-decorator]
def _masked_exponential_vjp(
    primals: tuple[mx.array, mx.array], cotangent: mx.array, output: mx.array
) -> tuple[mx.array, mx.array]:
    return output * cotangent, mx.zeros_like(primals[1])


@_custom
def _swiglu(gate: mx.array, up: mx.array) -> mx.array:
    return gate / (1 + _power(-gate)) * up


@_swiglu.vjp  # type: ignore[untyped-decorator]
def _swiglu_vjp(
    primals: tuple[mx.array, mx.array], cotangent: mx.array, output: mx.array
) -> tuple[mx.array, mx.array]:
    gate, up = primals
    sigmoid = 1 / (1 + _power(-gate))
    activated = gate * sigmoid
    return cotangent * up * (sigmoid + activated * (1 - sigmoid)), cotangent * activated


def _rms_norm(x: mx.array, weight: mx.array, epsilon: float) -> mx.array:
    return x * mx.rsqrt(mx.mean(x * x, axis=-1, keepdims=True) + epsilon) * weight


@lru_cache(maxsize=64)
def _rotation(length: int, head: int, base: float) -> tuple[mx.array, mx.array, mx.array]:
    """Cosines and sines per position, and the matrix that swaps the halves of a head."""
    half = head // 2
    frequencies = base ** (-np.arange(half, dtype=np.float64) / half)
    angles = np.arange(length, dtype=np.float64)[:, None] * frequencies[None, :]
    cosine = np.concatenate([np.cos(angles)] * 2, axis=1).astype(np.float32)
    sine = np.concatenate([np.sin(angles)] * 2, axis=1).astype(np.float32)
    swap = np.zeros((head, head), dtype=np.float32)
    swap[np.arange(half) + half, np.arange(half)] = -1
    swap[np.arange(half), np.arange(half) + half] = 1
    arrays = (mx.array(cosine), mx.array(sine), mx.array(swap))
    mx.eval(*arrays)
    return arrays


@lru_cache(maxsize=64)
def causal_mask(batch: int, length: int, shape: TinyShape) -> mx.array:
    """Which key each query may see, spelled out for every head: a plain block of bytes is fast."""
    group = shape.attention_heads // shape.key_value_heads
    allowed = np.tile(np.tril(np.ones((length, length), dtype=np.uint8)), (group, 1))
    size = (batch, shape.key_value_heads, group * length, length)
    mask = mx.array(np.ascontiguousarray(np.broadcast_to(allowed, size)))
    mx.eval(mask)
    return mask


def hidden_states(
    parameters: Parameters, tokens: mx.array, mask: mx.array, shape: TinyShape
) -> mx.array:
    """The last layer's normalised output, (batch, length, hidden), for right-padded tokens."""
    batch, length = tokens.shape
    heads, pairs, head = shape.attention_heads, shape.key_value_heads, shape.head_dim
    cosine, sine, swap = _rotation(length, head, shape.rope_theta)
    x = parameters["model.embed_tokens.weight"][tokens]

    def by_head(y: mx.array, count: int) -> mx.array:
        return y.reshape(batch, length, count, head).transpose(0, 2, 1, 3)

    def rotated(y: mx.array, weight: mx.array) -> mx.array:
        normed = _rms_norm(y, weight, shape.epsilon)
        return normed * cosine + (normed @ swap) * sine

    ones = mx.ones((batch, pairs, length, 1))
    for layer in range(shape.layers):
        weights = _Layer(parameters, layer)
        y = _rms_norm(x, weights["input_layernorm"], shape.epsilon)
        query = by_head(y @ weights["self_attn.q_proj"].T, heads)
        key = by_head(y @ weights["self_attn.k_proj"].T, pairs)
        value = by_head(y @ weights["self_attn.v_proj"].T, pairs)
        query = rotated(query, weights["self_attn.q_norm"] * head**-0.5)
        key = rotated(key, weights["self_attn.k_norm"])
        # The query heads that share a key head become more rows of one matrix product.
        query = query.reshape(batch, pairs, heads // pairs * length, head)
        attention = _masked_exponential(query @ key.swapaxes(-1, -2), mask)
        # A column of ones among the values sums the row: one product gives both.
        summed = attention @ mx.concatenate([value, ones], axis=-1)
        output = summed[..., :head] / summed[..., head:]
        output = output.reshape(batch, heads, length, head).transpose(0, 2, 1, 3)
        x = x + output.reshape(batch, length, heads * head) @ weights["self_attn.o_proj"].T
        y = _rms_norm(x, weights["post_attention_layernorm"], shape.epsilon)
        inner = _swiglu(y @ weights["mlp.gate_proj"].T, y @ weights["mlp.up_proj"].T)
        x = x + inner @ weights["mlp.down_proj"].T
    return _rms_norm(x, parameters["model.norm.weight"], shape.epsilon)


class _Layer:
    """The weights of one layer under their short names."""

    def __init__(self, parameters: Parameters, layer: int) -> None:
        self._parameters = parameters
        self._prefix = f"model.layers.{layer}."

    def __getitem__(self, name: str) -> mx.array:
        return self._parameters[f"{self._prefix}{name}.weight"]


def answer_scores(
    parameters: Parameters,
    tokens: mx.array,
    mask: mx.array,
    positions: mx.array,
    targets: mx.array,
    shape: TinyShape,
) -> tuple[mx.array, mx.array]:
    """For each learned position its negative log likelihood, and whether the best guess is right.

    Args:
        parameters: the network's weights.
        tokens: (batch, length) token ids, padded on the right.
        mask: `causal_mask` for this batch and length.
        positions: flat indices (row * length + column) of the positions that predict.
        targets: the token that follows each of them.
        shape: the network's measures.
    """
    logits = _answer_logits(parameters, tokens, mask, positions, shape)
    return _missed(logits, targets)


def _answer_logits(
    parameters: Parameters, tokens: mx.array, mask: mx.array, positions: mx.array, shape: TinyShape
) -> mx.array:
    states = hidden_states(parameters, tokens, mask, shape).reshape(-1, shape.hidden_size)
    return states[positions] @ parameters["model.embed_tokens.weight"].T


def _missed(logits: mx.array, targets: mx.array) -> tuple[mx.array, mx.array]:
    total = mx.log(_exponential(logits).sum(axis=-1))
    chosen = mx.take_along_axis(logits, targets[:, None], axis=-1).squeeze(-1)
    return total - chosen, mx.argmax(mx.stop_gradient(logits), axis=-1) == targets


def answer_loss(
    parameters: Parameters,
    tokens: mx.array,
    mask: mx.array,
    positions: mx.array,
    targets: mx.array,
    weights: mx.array,
    shape: TinyShape,
) -> tuple[mx.array, mx.array]:
    """The weighted sum of `answer_scores`, and how many guesses of weight above zero were right."""
    missed, right = answer_scores(parameters, tokens, mask, positions, targets, shape)
    return (missed * weights).sum(), (right * (weights > 0)).sum()


def taught_loss(
    parameters: Parameters,
    tokens: mx.array,
    mask: mx.array,
    positions: mx.array,
    targets: mx.array,
    weights: mx.array,
    ids: mx.array,
    log_probabilities: mx.array,
    known: mx.array,
    shape: TinyShape,
    weight: float,
    temperature: float,
) -> tuple[mx.array, mx.array]:
    """As `answer_loss`, with `weight` for the divergence from a teacher where it has a word.

    Args:
        parameters, tokens, mask, positions, targets, weights, shape: as for `answer_loss`.
        ids: (positions, K) tokens that the teacher names.
        log_probabilities: (positions, K) theirs with the teacher.
        known: (positions,) whether the teacher has a word.
        weight: 0 to 1.
        temperature: what both distributions are softened by.
    """
    logits = _answer_logits(parameters, tokens, mask, positions, shape)
    missed, right = _missed(logits, targets)
    log_total = mx.log(_exponential(logits * (1 / temperature)).sum(axis=-1))
    divergence = teacher_divergence(logits, ids, log_probabilities, temperature, log_total)
    mixed = (1 - weight) * missed + weight * divergence
    loss = mx.where(known, mixed, missed)
    return (loss * weights).sum(), (right * (weights > 0)).sum()
