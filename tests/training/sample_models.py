"""Small models with random weights and adapters on them, for tests of what changes weights."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx

from punie.models.mlx.library import build_model, load_model
from punie.training.model_folder import tensors_of
from punie.training.pretraining.network import initial_parameters
from punie.training.pretraining.tiny_architecture import TinyShape, write_description
from tests.training.sample_conversations import SHAPE, model_folder


def write_model(
    folder: Path, seed: int = 0, *, dtype: mx.Dtype = mx.float32, shape: TinyShape = SHAPE
) -> Path:
    """Write a whole model folder: sample tokenizer and template, random weights."""
    model_folder(folder)
    write_description(folder, shape)
    weights = {
        name: tensor.astype(dtype) for name, tensor in initial_parameters(shape, seed).items()
    }
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
    return folder


def write_experts(folder: Path) -> Path:
    """Write a whole model folder of a mixture of four experts with random weights."""
    model_folder(folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "qwen3_moe", "num_experts": 4, "num_experts_per_tok": 2,
        "moe_intermediate_size": 16, "decoder_sparse_step": 1, "mlp_only_layers": [],
        "norm_topk_prob": True,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    weights = tensors_of(build_model(config))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
    return folder


def write_adapter(
    folder: Path,
    model: Path,
    kind: str = "lora",
    *,
    seed: int = 0,
    size: float = 0.1,
    keys: Sequence[str] = ("self_attn.q_proj", "mlp.down_proj"),
) -> Path:
    """Write an adapter of the last layer of `model` in mlx-lm's form, with random weights."""
    from mlx_lm.tuner.utils import linear_to_lora_layers

    folder.mkdir(parents=True)
    settings: dict[str, Any] = {"rank": 2, "scale": 2.0, "dropout": 0.0}
    settings["keys"] = list(keys)
    base, _ = load_model(model)
    key = mx.random.key(seed)
    if kind == "full":
        changed = tensors_of(base.layers[-1])
        weights = {f"model.layers.{len(base.layers) - 1}.{name}": t for name, t in changed.items()}
    else:
        linear_to_lora_layers(base, 1, settings, use_dora=kind == "dora")
        weights = {
            name: tensor
            for name, tensor in tensors_of(base).items()
            if name.rpartition(".")[2] in ("lora_a", "lora_b", "m")
        }
    for name, tensor in weights.items():
        key, own = mx.random.split(key)
        weights[name] = tensor + size * mx.random.normal(tensor.shape, key=own)
    mx.save_safetensors(str(folder / "adapters.safetensors"), weights)
    config = {"fine_tune_type": kind, "num_layers": 1, "lora_parameters": settings}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def logits(model: Any, count: int = 24) -> mx.array:
    """Return what a loaded model says to a fixed row of tokens."""
    found: mx.array = model(mx.arange(5, 5 + count)[None])
    return found.astype(mx.float32)


def logits_of(folder: Path) -> mx.array:
    """Return what the model in `folder` says to a fixed row of tokens."""
    return logits(load_model(folder)[0])
