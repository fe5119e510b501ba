"""How much memory a model needs: weights, keys and values, and room to read a prompt.

Pure arithmetic over an `Architecture`, so that the same figures serve the catalogue, the doctor
and the engine's admission. All sizes are in bytes.

What mlx-lm 0.32 keeps: `KVCache` grows in steps of 256 tokens; `QuantizedKVCache` packs `bits`
per number and adds a scale and a bias per group; linear attention (`ArraysCache`) holds the last
inputs of its convolution in the model's type and its state in float32, whatever the length.
"""

from dataclasses import dataclass
from typing import Literal

from punie.models.architecture import Architecture
from punie.models.machine import MachineMemory

CACHE_STEP = 256
"""Tokens by which a cache grows."""

_FLOAT32 = 4
_LEAST_CONTEXT = 8_192
"""Tokens; with less a model is of no use to an agent."""
_SLACK = 2.5
"""Activations that wait for their turn beside the widest moment, as measured."""
_STATES = 4
"""States of linear attention that are alive at once."""
_FUSED_HEAD_DIMS = frozenset({64, 72, 80, 96, 128})
"""Head sizes of Metal's fused attention over a whole chunk in MLX 0.32.

Others, such as the 256 of Qwen3-Next and Qwen3.5, take it only with `force_fused`, which mlx-lm
does not set (ml-explore/mlx#3658, #4185, #4330).
"""


@dataclass(frozen=True)
class KvQuantization:
    """How keys and values are packed: `bits` each, `group_size` share a scale and a bias."""

    bits: int
    group_size: int = 64


@dataclass(frozen=True)
class MemoryEstimate:
    """What a model needs to hold `context` tokens and to read `chunk` of them at a time.

    `cache` is of one conversation. `working` is the most that one step needs besides, the last
    step of a full context being the largest.
    """

    weights: int
    cache: int
    working: int
    context: int
    chunk: int

    @property
    def total(self) -> int:
        """All of it together."""
        return self.weights + self.cache + self.working


def estimate(
    architecture: Architecture,
    weights: int,
    *,
    context: int,
    chunk: int = 512,
    kv: KvQuantization | None = None,
    metal: bool = True,
) -> MemoryEstimate:
    """Return what a model with `weights` bytes of weights needs for `context` tokens.

    `chunk` is how many tokens of a prompt go through the model at once. `kv` packs keys and
    values. `metal` says that attention runs on Metal, where it can be fused.
    """
    return MemoryEstimate(
        weights=weights,
        cache=cache_bytes(architecture, context, kv),
        working=working_bytes(architecture, context, chunk, kv=kv, metal=metal),
        context=context,
        chunk=chunk,
    )


def cache_bytes_per_token(architecture: Architecture, kv: KvQuantization | None = None) -> int:
    """Return what one more token adds to a cache."""
    width = architecture.head_dim
    if kv is None:
        row = width * architecture.item_bytes
    else:
        # Packed into 32-bit words; a scale and a bias of the model's type for each group.
        packed = width // (32 // kv.bits) * 4
        row = packed + width // kv.group_size * 2 * architecture.item_bytes
    return architecture.attention_layers * architecture.kv_heads * 2 * row


def state_bytes(architecture: Architecture) -> int:
    """Return what linear attention keeps of a conversation, whatever its length."""
    linear = architecture.linear
    if linear is None:
        return 0
    convolution = (linear.kernel - 1) * linear.channels * architecture.item_bytes
    layers = architecture.layers - architecture.attention_layers
    return layers * (convolution + linear.state_elements * _FLOAT32)


def cache_bytes(architecture: Architecture, tokens: int, kv: KvQuantization | None = None) -> int:
    """Return what the cache of a conversation of `tokens` tokens takes, in whole steps."""
    if tokens <= 0:
        return 0
    steps = -(-tokens // CACHE_STEP)
    per_token = cache_bytes_per_token(architecture, kv)
    return steps * CACHE_STEP * per_token + state_bytes(architecture)


def is_fused(architecture: Architecture, kv: KvQuantization | None, *, metal: bool) -> bool:
    """Tell whether attention over a chunk does without a matrix of scores."""
    return metal and kv is None and architecture.head_dim in _FUSED_HEAD_DIMS


def working_bytes(
    architecture: Architecture,
    context: int,
    chunk: int,
    *,
    kv: KvQuantization | None = None,
    metal: bool = True,
) -> int:
    """Return the most that one step needs besides weights and cache: activations and scores.

    The layers run one after the other, so the widest part of one layer counts. Without fused
    attention the scores of all heads count, chunk times context: the part that grows with both.
    """
    chunk = max(1, min(chunk, context))
    widest = max(
        _attention(architecture), _feed_forward(architecture), _linear_attention(architecture)
    )
    numbers = chunk * (3 * architecture.hidden + widest)
    activations = int(_SLACK * numbers * architecture.item_bytes)
    linear = architecture.linear
    states = 0 if linear is None else _STATES * linear.state_elements * _FLOAT32
    # One row of logits, its copy in float32 and its probabilities.
    logits = 3 * architecture.vocabulary * _FLOAT32
    # A cache that grows holds the old and the new keys and values of a layer for a moment.
    layers = max(1, architecture.attention_layers)
    growing = 2 * cache_bytes_per_token(architecture, kv) // layers * context
    scores = 0
    if not is_fused(architecture, kv, metal=metal):
        scores = chunk * context * (architecture.heads * _FLOAT32 + 1)  # and a mask of booleans
    return activations + states + logits + growing + scores


def _attention(architecture: Architecture) -> int:
    """Return the numbers per token in the widest moment of an attention layer."""
    # Projected, normalised and rotated queries, their gate, and the output; keys and values.
    queries = architecture.heads * architecture.head_dim
    keys = architecture.kv_heads * architecture.head_dim
    return (6 if architecture.gated else 4) * queries + 4 * keys


def _feed_forward(architecture: Architecture) -> int:
    """Return the numbers per token in the widest moment of a feed-forward layer."""
    experts = architecture.experts
    if experts is None:
        return 3 * architecture.width + architecture.hidden
    per_expert = max(3 * experts.width + architecture.hidden, 3 * architecture.hidden)
    return experts.active * per_expert + 3 * experts.shared + 2 * experts.count


def _linear_attention(architecture: Architecture) -> int:
    """Return the numbers per token in the widest moment of a layer of linear attention."""
    linear = architecture.linear
    if linear is None:
        return 0
    return 5 * linear.channels + 4 * linear.value_heads * linear.value_dim


def largest_context(
    architecture: Architecture,
    weights: int,
    budget: int,
    *,
    chunk: int = 512,
    kv: KvQuantization | None = None,
    metal: bool = True,
) -> int:
    """Return how many tokens fit into `budget` bytes, the window or whole steps of the cache.

    0 for none.
    """

    def total(context: int) -> int:
        return estimate(
            architecture, weights, context=context, chunk=chunk, kv=kv, metal=metal
        ).total

    if total(architecture.window) <= budget:
        return architecture.window
    low, high = 0, architecture.window // CACHE_STEP
    while low < high:
        middle = (low + high + 1) // 2
        if total(middle * CACHE_STEP) <= budget:
            low = middle
        else:
            high = middle - 1
    return low * CACHE_STEP


Level = Literal["fits", "tight", "short", "no"]
"""Whether a model can be used: "tight" needs other programs closed, "short" less context."""


@dataclass(frozen=True)
class Fit:
    """A verdict, one sentence about it with the cure, and the bytes that are needed."""

    level: Level
    sentence: str
    needed: int


def fits(
    architecture: Architecture | None,
    weights: int,
    machine: MachineMemory,
    *,
    context: int,
    chunk: int = 512,
) -> Fit:
    """Judge whether a model with `weights` bytes runs on `machine` with `context` tokens.

    Without an architecture the weights count, and a tenth more.
    """
    if architecture is None:
        needed, most = weights + weights // 10, 0
    else:
        context = min(context, architecture.window)
        metal = machine.is_metal
        needed = estimate(architecture, weights, context=context, chunk=chunk, metal=metal).total
        most = largest_context(architecture, weights, machine.usable, chunk=chunk, metal=metal)
    need = f"It needs about {gigabytes(needed)} with {context:,} tokens of context"
    if needed > machine.usable:
        limit = f"{gigabytes(machine.usable)} that models can use here"
        if most >= _LEAST_CONTEXT:
            text = f"{need}, and the {limit} hold up to {most:,} tokens"
            return Fit("short", f"{text}; start new sessions before they grow so long.", needed)
        cure = "choose a smaller model or one of fewer bits"
        return Fit("no", f"{need}, more than the {limit}; {cure}.", needed)
    if needed > machine.available:
        free = f"{gigabytes(machine.available)} are free now"
        return Fit("tight", f"{need} and {free}; close other programs before using it.", needed)
    return Fit("fits", f"{need}, and {gigabytes(machine.usable)} can be used here.", needed)


def gigabytes(size: int) -> str:
    """Write a size in bytes for a person, as "17.2 GB"; in megabytes below one."""
    if size < 10**9:
        return f"{max(1, round(size / 10**6))} MB"
    return f"{size / 10**9:.1f} GB"
