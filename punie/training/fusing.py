"""Fusing an adapter into the weights of its model.

The arithmetic is that of mlx-lm's own layers (`mlx_lm.tuner`). The result is in full precision:
where the base is quantised it is unpacked first, because rounding the sum again to the few levels
of the base loses much of what the adapter changed (`FuseOptions.into_quantized` does just that,
to show it).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import mlx.core as mx
from mlx.utils import tree_unflatten
from pydantic import BaseModel, ConfigDict

from punie.models.architecture import quantization_of
from punie.models.catalog import ModelUnavailable, read_json_object, weight_bytes
from punie.models.checking import check_model
from punie.models.mlx.library import load_model
from punie.models.provenance import read_provenance
from punie.models.weights import read_header
from punie.training.errors import TrainingError
from punie.training.hashing import file_hash, value_hash
from punie.training.model_folder import (
    copy_format,
    require_room,
    resumable_folder,
    tensors_of,
    usual_type,
    write_config,
    write_weights,
)
from punie.training.output import refuse_taken
from punie.training.progress import Progress, Reporter, Stopped, never, quiet
from punie.training.provenance import model_hash, write_provenance

ADAPTER_WEIGHTS = "adapters.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
QUANTIZATION_KEYS = ("quantization", "quantization_config")
"""What config.json tells of packed weights; mlx-lm writes both."""

_ADAPTER_LEAVES = ("lora_a", "lora_b", "m")


class FuseOptions(BaseModel):
    """How an adapter is fused.

    Attributes:
        into_quantized: round the sum to the levels of a quantised base, and keep it quantised.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    into_quantized: bool = False


@dataclass(frozen=True)
class Adapter:
    """An adapter as its files describe it.

    Attributes:
        folder: where it lies.
        kind: "lora", "dora", or "full" for whole weights of some layers.
        tensors: shapes by name.
        base: hash of the model that it was trained on, None where it does not tell.
    """

    folder: Path
    kind: Literal["lora", "dora", "full"]
    tensors: Mapping[str, tuple[int, ...]]
    base: str | None

    @property
    def hash(self) -> str:
        """Hash of all that decides what the adapter does."""
        names = (ADAPTER_WEIGHTS, ADAPTER_CONFIG)
        return value_hash({name: file_hash(self.folder / name) for name in names})


def read_adapter(folder: Path) -> Adapter:
    """Read what an adapter is, from the files that mlx-lm and `punie train` write.

    Raises:
        TrainingError: there is none in `folder`, or its files are damaged.
    """
    for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        if not (folder / name).is_file():
            raise TrainingError(
                f"There is no adapter in {folder} (no {name}); name a folder that `punie train` "
                "wrote."
            )
    try:
        config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        kind = config.get("fine_tune_type", "lora")
        header = read_header(folder / ADAPTER_WEIGHTS)
    except (OSError, ValueError, AttributeError) as error:
        raise TrainingError(f"{folder / ADAPTER_CONFIG} cannot be read ({error}).") from error
    except ModelUnavailable as error:
        raise TrainingError(
            f"{folder / ADAPTER_WEIGHTS} is damaged or cut off; train the adapter again."
        ) from error
    if kind not in ("lora", "dora", "full"):
        raise TrainingError(
            f"{folder / ADAPTER_CONFIG} tells of a {kind!r} adapter; only lora, dora and full can "
            "be fused."
        )
    provenance = read_provenance(folder)
    base = None if provenance is None else provenance.parents.get("model")
    return Adapter(folder, kind, {name: each.shape for name, each in header.items()}, base)


def check_base(adapter: Adapter, model: Path, model_digest: str) -> None:
    """Refuse an adapter that was trained on another model.

    A quantised copy of the model that it was trained on is taken.

    Raises:
        TrainingError: it was trained on another model.
    """
    if adapter.base in (None, model_digest):
        return
    provenance = read_provenance(model)
    if (
        provenance is not None
        and provenance.made_by == "quantize"
        and provenance.parents.get("model") == adapter.base
    ):
        return
    raise TrainingError(
        f"The adapter in {adapter.folder} was trained on another model than the one in {model}; "
        "name the model that it was trained on."
    )


def fuse(
    options: FuseOptions,
    model: Path,
    adapter: Path,
    out: Path,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> Path:
    """Write the model with the adapter in its weights to the folder `out`; return it.

    Weights keep the type of the base's. Layers are fused and written one after the other, so the
    model need not fit into memory.

    Raises:
        Interrupted: it was asked to stop; the same call goes on from the files that are written.
        TrainingError: the adapter does not belong to the model, or there is no room.
        ModelUnavailable: the model's files are not whole.
    """
    refuse_taken(out)
    found = read_adapter(adapter)
    check_model(model)
    config = read_json_object(model / "config.json")
    quantized = quantization_of(config) is not None
    if options.into_quantized and not quantized:
        raise TrainingError(
            f"The model in {model} is not quantised, so nothing can be fused into quantised "
            "weights; leave that option out."
        )
    report(Progress("reading the model", 0, weight_bytes(model) / 1e6, "MB"))
    digest = model_hash(model)
    check_base(found, model, digest)
    tensors = fused_tensors(model, found, into_quantized=options.into_quantized)
    require_room(out, sum(tensor.nbytes for tensor in tensors.values()))
    parents = {"model": digest, "adapter": found.hash}
    settings = options.model_dump(mode="json") | {"dequantized": dequantized(options, config)}
    with resumable_folder(out, {"made_by": "fuse", **parents, **settings}) as folder:
        write_weights(folder, tensors, report, stopped)
        copy_format(model, folder)
        write_config(model, folder, fused_config(options, config))
        write_provenance(folder, "fuse", parents, settings)
    return out


def dequantized(options: FuseOptions, config: Mapping[str, Any]) -> bool:
    """Tell whether fusing unpacks a quantised base with this config.json."""
    return quantization_of(config) is not None and not options.into_quantized


def fused_config(options: FuseOptions, config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the config.json of the fused model; None if it is that of the base."""
    if not dequantized(options, config):
        return None
    return {key: value for key, value in config.items() if key not in QUANTIZATION_KEYS}


def load_with_adapter(model: Path, adapter: Adapter) -> Any:
    """Load a model lazily with an adapter on it, as mlx-lm runs it.

    Raises:
        TrainingError: the adapter's tensors do not fit the model.
    """
    base, _ = load_model(model, lazy=True)
    return put_on(base, adapter)


def put_on(base: Any, adapter: Adapter) -> Any:
    """Put an adapter on a loaded model; return the model.

    Raises:
        TrainingError: the adapter's tensors do not fit the model.
    """
    # Here, because this imports all of mlx-lm's tuner.
    from mlx_lm.tuner.utils import load_adapters

    try:
        loaded = load_adapters(base, str(adapter.folder))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise _misfit(adapter, str(error)) from error
    if adapter.kind != "full":
        names = {name for name in tensors_of(loaded) if name.rpartition(".")[2] in _ADAPTER_LEAVES}
        if absent := sorted(names - set(adapter.tensors)):
            raise _misfit(adapter, f"it has no {absent[0]}")
    # The layers just added are in the mode for training, with dropout.
    loaded.eval()
    return loaded


def fused_tensors(
    model: Path, adapter: Adapter, *, into_quantized: bool = False
) -> dict[str, mx.array]:
    """Return the unevaluated weights of a model with an adapter in them, by name.

    Raises:
        TrainingError: the adapter's tensors do not fit the model.
    """
    from mlx_lm.utils import dequantize_model

    base, _ = load_model(model, lazy=True)
    before = tensors_of(base)
    usual = usual_type(before)
    plain = {
        name: tensor.dtype
        for name, tensor in before.items()
        if mx.issubdtype(tensor.dtype, mx.floating)
    }
    before.clear()
    loaded = put_on(base, adapter)
    layers = [
        (name, layer.fuse(dequantize=not into_quantized))
        for name, layer in loaded.named_modules()
        if hasattr(layer, "fuse")
    ]
    if layers:
        loaded.update_modules(tree_unflatten(layers))
    if not into_quantized:
        loaded = dequantize_model(loaded)
    return {
        name: tensor.astype(plain.get(name, usual))
        if mx.issubdtype(tensor.dtype, mx.floating)
        else tensor
        for name, tensor in tensors_of(loaded).items()
    }


def _misfit(adapter: Adapter, reason: str) -> TrainingError:
    lines = [line.strip() for line in reason.splitlines() if line.strip()]
    detail = lines[1] if len(lines) > 1 else (lines or ["no reason told"])[0]
    return TrainingError(
        f"The adapter in {adapter.folder} does not fit this model ({detail.rstrip('.')}); "
        "name the model that it was trained on."
    )
