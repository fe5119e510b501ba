"""Which weights of a model are trained: adapters in mlx-lm's layers, or whole layers."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, assert_never

import mlx.core as mx
from mlx.nn.layers.linear import Linear
from mlx.nn.layers.quantized import QuantizedLinear
from mlx.utils import tree_flatten

from punie.models.architecture import quantization_of, read_architecture
from punie.training.errors import TrainingError
from punie.training.fusing import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from punie.training.output import write_text
from punie.training.tuning.options import TuneOptions

_EXPERTS = "switch_mlp"


def check_fit(options: TuneOptions, config: Mapping[str, Any]) -> None:
    """Refuse what cannot be trained on the model of this config.json; needs no weights.

    Raises:
        TrainingError: it cannot.
    """
    architecture = read_architecture(config)
    experts = architecture is not None and architecture.experts is not None
    on_experts = experts and (
        not options.keys or any(_EXPERTS in key.split(".") for key in options.keys)
    )
    if options.kind == "dora" and on_experts:
        raise TrainingError(
            "DoRA cannot be trained on a mixture of experts; choose lora, or name keys outside of "
            "the experts such as self_attn.q_proj."
        )
    if options.optimizer == "muon" and on_experts and options.kind != "full":
        raise TrainingError(
            "Muon makes single matrices orthogonal and an adapter of experts is a stack of them; "
            "choose adamw, or name keys outside of the experts such as self_attn.q_proj."
        )
    if options.kind == "full" and quantization_of(config) is not None:
        raise TrainingError(
            "The weights of a quantised model cannot be trained; train an adapter (lora or dora), "
            "or name the model that it was quantised from."
        )


def make_trainable(model: Any, options: TuneOptions) -> None:
    """Freeze a loaded model but for what is trained; puts adapters in.

    An adapter's weights come from `mx.random`, whose seed the caller sets.

    Raises:
        TrainingError: the model has no such matrices, or the adapter cannot be put on them.
    """
    # Here, because this imports all of mlx-lm's tuner.
    from mlx_lm.tuner.utils import linear_to_lora_layers

    model.freeze()
    count = trained_layers(model, options)
    match options.kind:
        case "full":
            for layer in model.layers[-count:]:
                layer.unfreeze()
            if options.embeddings:
                _unfreeze_embeddings(model)
        case "lora" | "dora":
            _check_keys(model, options)
            try:
                linear_to_lora_layers(
                    model, count, lora_parameters(options), use_dora=options.kind == "dora"
                )
            except ValueError as error:
                raise TrainingError(
                    f"{options.kind} cannot be trained on this model ({error}); choose lora or "
                    "other keys."
                ) from error
        case _:
            assert_never(options.kind)


def trained_layers(model: Any, options: TuneOptions) -> int:
    """Return how many of the last layers are trained."""
    layers = len(model.layers)
    return min(options.layers, layers) if options.layers else layers


def lora_parameters(options: TuneOptions) -> dict[str, Any]:
    """Return an adapter's settings as mlx-lm has them."""
    found: dict[str, Any] = {
        "rank": options.rank,
        "scale": options.scale,
        "dropout": options.dropout,
    }
    return found | ({"keys": sorted(options.keys)} if options.keys else {})


def trainable(model: Any) -> dict[str, mx.array]:
    """Return the weights that are trained, by name."""
    return dict(tree_flatten(model.trainable_parameters()))


def write_adapter_config(folder: Path, model: Any, options: TuneOptions) -> None:
    """Write what `mlx_lm.load(adapter_path=)` reads beside the adapter's weights."""
    described = {
        "fine_tune_type": options.kind,
        "num_layers": trained_layers(model, options),
        "lora_parameters": lora_parameters(options),
    }
    write_text(folder / ADAPTER_CONFIG, json.dumps(described, indent=2) + "\n")


def adapter_file(folder: Path) -> Path:
    """Return where an adapter's weights lie."""
    return folder / ADAPTER_WEIGHTS


@contextmanager
def recomputing(model: Any, recompute: bool) -> Iterator[None]:
    """Have the model's layers compute their activations again for gradients, inside of this.

    mlx-lm changes the class of the layers for good; here it is as before afterwards.
    """
    if not recompute:
        yield
        return
    from mlx_lm.tuner import trainer

    kind = type(model.layers[0])
    before = kind.__call__
    change: Any = trainer.grad_checkpoint
    change(model.layers[0])
    try:
        yield
    finally:
        kind.__call__ = before


def _check_keys(model: Any, options: TuneOptions) -> None:
    layer = model.layers[-1]
    there = {
        name
        for name, module in layer.named_modules()
        if isinstance(module, (Linear, QuantizedLinear)) or name.startswith("mlp.switch_mlp.")
    }
    if unknown := sorted(set(options.keys) - there):
        known = ", ".join(sorted(name for name in there if not name.endswith("activation")))
        raise TrainingError(f"A layer of this model has no {unknown[0]!r}; it has {known}.")


def _unfreeze_embeddings(model: Any) -> None:
    model.model.embed_tokens.unfreeze()
    if "lm_head" in model:
        model.lm_head.unfreeze()
