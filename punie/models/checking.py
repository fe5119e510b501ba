"""Whether a model's files are whole and belong together, before anything heavy is loaded."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from punie.models.architecture import quantization_of, text_config
from punie.models.catalog import PULL_AGAIN, ModelUnavailable, read_json_object
from punie.models.traits import check_supported
from punie.models.weights import Weights, read_weights

_LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.")


def check_model(directory: Path) -> Weights:
    """Return the weights of a model that can be loaded as far as its files tell.

    Raises `ModelUnavailable` for an architecture that the installed mlx-lm does not know, for
    files that are missing or cut off, and for weights that are not those of the config.json.
    """
    check_supported(directory)
    weights = read_weights(directory)
    _check_shapes(directory, read_json_object(directory / "config.json"), weights)
    return weights


def _check_shapes(directory: Path, config: Mapping[str, Any], weights: Weights) -> None:
    text = text_config(config)
    layers = text.get("num_hidden_layers")
    found = {int(match[1]) for name in weights.tensors if (match := _LAYER.search(name))}
    if isinstance(layers, int) and found and not found.issuperset(range(layers)):
        raise _other(directory, f"they have {len(found)} of {layers} layers")
    for name, tensor in weights.tensors.items():
        if name.rpartition(".")[0].endswith("embed_tokens") and name.endswith(".weight"):
            vocabulary, hidden = text.get("vocab_size"), text.get("hidden_size")
            rows = tensor.shape[0] if tensor.shape else 0
            if isinstance(vocabulary, int) and rows != vocabulary:
                raise _other(directory, f"they have {rows:,} of {vocabulary:,} tokens")
            width = _width(config, weights, name)
            if isinstance(hidden, int) and width not in (None, hidden):
                raise _other(directory, f"they are {width:,} numbers wide and not {hidden:,}")


def _width(config: Mapping[str, Any], weights: Weights, name: str) -> int | None:
    """Return how many numbers a row of a tensor has, packed or not; None where that is not told."""
    scales = weights.tensors.get(name.removesuffix(".weight") + ".scales")
    if scales is None:
        return weights.tensors[name].shape[-1]
    quantization = quantization_of(config)
    return None if quantization is None else scales.shape[-1] * quantization.group_size


def _other(directory: Path, reason: str) -> ModelUnavailable:
    return ModelUnavailable(
        f"The weights in {directory} are not those of its config.json ({reason}); {PULL_AGAIN}."
    )
