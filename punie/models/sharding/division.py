"""Whether a model can be divided among machines, and what each of them gets of it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from punie.models.architecture import Architecture, quantization_of
from punie.models.sharding.hosts import CannotShare

DIVISIBLE = ("qwen2", "qwen3", "qwen3_moe")
"""Architectures of mlx-lm that split every layer, and whose cache holds keys and values only."""

_WIDTHS = ("intermediate_size", "moe_intermediate_size")


def check_divisible(config: Mapping[str, Any], machines: int) -> None:
    """Raise `CannotShare` unless the model of this config.json divides evenly."""
    kind = config.get("model_type")
    if kind not in DIVISIBLE:
        raise CannotShare(
            f"A model of the kind {kind} cannot be shared by machines; Qwen3 and Qwen3-Coder can "
            f"({', '.join(DIVISIBLE)})."
        )
    heads = int(config.get("num_attention_heads") or 1)
    key_heads = int(config.get("num_key_value_heads") or heads)
    if heads % machines or key_heads % machines:
        raise CannotShare(
            f"The model has {heads} heads and {key_heads} for keys and values, which do not "
            f"divide among {machines} machines."
        )
    quantization = quantization_of(config)
    step = machines * (quantization.group_size if quantization else 1)
    attention = heads * int(config.get("head_dim") or config.get("hidden_size", 0) // heads)
    for width in (attention, *(config.get(name) or 0 for name in _WIDTHS)):
        if width % step:
            raise CannotShare(
                f"The model's layers are {width} wide, which does not divide among {machines} "
                "machines."
            )


def share_of(architecture: Architecture | None, machines: int) -> Architecture | None:
    """Return what one of the machines holds of keys, values and layers."""
    if architecture is None:
        return None
    return replace(
        architecture,
        heads=architecture.heads // machines,
        kv_heads=architecture.kv_heads // machines,
    )
