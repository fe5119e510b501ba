"""The shape of a model, as far as its memory depends on it, from the content of its config.json.

Field names and defaults are those of the model classes of mlx-lm 0.32 (`mlx_lm.models.qwen3` and
its siblings), which read the same file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DEFAULT_CONTEXT_WINDOW = 32_768
"""Tokens, for a model whose config.json does not tell."""

_HYBRIDS = ("qwen3_next", "qwen3_5", "qwen3_5_moe")
_GATED = _HYBRIDS
"""Families whose attention projects a gate as wide as the queries."""


@dataclass(frozen=True)
class Quantization:
    """How weights are packed: `bits` each, in groups of `group_size` that share a scale."""

    bits: int
    group_size: int
    mode: str = "affine"


@dataclass(frozen=True)
class LinearAttention:
    """A gated delta network: `kernel` taps of a convolution, heads of keys and of values."""

    kernel: int
    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int

    @property
    def channels(self) -> int:
        """Channels of the convolution: queries, keys and values side by side."""
        return 2 * self.key_heads * self.key_dim + self.value_heads * self.value_dim

    @property
    def state_elements(self) -> int:
        """Numbers in the recurrent state of one layer."""
        return self.value_heads * self.value_dim * self.key_dim


@dataclass(frozen=True)
class Experts:
    """A mixture of `count` experts, `active` of them per token, and a shared one if `shared`."""

    count: int
    active: int
    width: int
    shared: int


@dataclass(frozen=True)
class Architecture:
    """What memory depends on; widths in numbers, `window` in tokens.

    Of `layers` in all, `attention_layers` keep keys and values of every token; the others are
    linear attention, whose state does not grow. `item_bytes` is the size of an activation.
    """

    model_type: str
    hidden: int
    layers: int
    attention_layers: int
    heads: int
    kv_heads: int
    head_dim: int
    width: int
    vocabulary: int
    window: int
    item_bytes: int
    gated: bool = False
    linear: LinearAttention | None = None
    experts: Experts | None = None
    quantization: Quantization | None = None


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part of a config.json that describes the language model."""
    nested = config.get("text_config")
    return {**config, **nested} if isinstance(nested, Mapping) else config


def context_window(config: Mapping[str, Any]) -> int:
    """Return how many tokens a model reads, from the content of its config.json."""
    length = text_config(config).get("max_position_embeddings")
    return length if isinstance(length, int) and length > 0 else DEFAULT_CONTEXT_WINDOW


def quantization_of(config: Mapping[str, Any]) -> Quantization | None:
    """Return how the weights are packed, None for plain ones.

    mlx-lm writes `quantization`; `quantization_config` is its copy for other readers.
    """
    for place in (config, text_config(config)):
        for key in ("quantization", "quantization_config"):
            found = place.get(key)
            if isinstance(found, Mapping) and isinstance(found.get("bits"), int):
                group = found.get("group_size")
                mode = found.get("mode")
                return Quantization(
                    bits=found["bits"],
                    group_size=group if isinstance(group, int) else 64,
                    mode=mode if isinstance(mode, str) else "affine",
                )
    return None


def read_architecture(config: Mapping[str, Any]) -> Architecture | None:
    """Return a model's shape, or None where its config.json does not have the usual fields.

    A family that is not one of Qwen's is taken for plain attention in every layer, which is the
    most that it can need.
    """
    model_type = config.get("model_type")
    text = text_config(config)
    numbers = _Numbers(text)
    hidden, layers = numbers.get("hidden_size"), numbers.get("num_hidden_layers")
    heads = numbers.get("num_attention_heads")
    if not isinstance(model_type, str) or not (hidden and layers and heads):
        return None
    hybrid = model_type in _HYBRIDS
    interval = numbers.get("full_attention_interval") or 4
    return Architecture(
        model_type=model_type,
        hidden=hidden,
        layers=layers,
        attention_layers=layers // interval if hybrid else layers,
        heads=heads,
        kv_heads=numbers.get("num_key_value_heads") or heads,
        head_dim=numbers.get("head_dim") or hidden // heads,
        width=numbers.get("intermediate_size") or 4 * hidden,
        vocabulary=numbers.get("vocab_size"),
        window=context_window(config),
        item_bytes=4 if _dtype(config, text) == "float32" else 2,
        gated=model_type in _GATED,
        linear=_linear(numbers) if hybrid else None,
        experts=_experts(numbers),
        quantization=quantization_of(config),
    )


class _Numbers:
    """The whole numbers of a configuration; what is missing or no number counts as zero."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config

    def get(self, name: str) -> int:
        value = self._config.get(name)
        return value if isinstance(value, int) and value > 0 else 0


def _dtype(config: Mapping[str, Any], text: Mapping[str, Any]) -> str:
    for place in (text, config):
        for key in ("dtype", "torch_dtype"):
            if isinstance(name := place.get(key), str):
                return name.removeprefix("torch.")
    return "bfloat16"


def _linear(numbers: _Numbers) -> LinearAttention:
    return LinearAttention(
        kernel=numbers.get("linear_conv_kernel_dim") or 4,
        key_heads=numbers.get("linear_num_key_heads") or 16,
        value_heads=numbers.get("linear_num_value_heads") or 64,
        key_dim=numbers.get("linear_key_head_dim") or 192,
        value_dim=numbers.get("linear_value_head_dim") or 128,
    )


def _experts(numbers: _Numbers) -> Experts | None:
    if not numbers.get("num_experts"):
        return None
    return Experts(
        count=numbers.get("num_experts"),
        active=numbers.get("num_experts_per_tok") or 1,
        width=numbers.get("moe_intermediate_size") or numbers.get("intermediate_size"),
        shared=numbers.get("shared_expert_intermediate_size"),
    )
