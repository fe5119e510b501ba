"""What a conversion writes and needs, from config.json alone.

The model is built from its configuration without weights: MLX's arrays have shapes and types long
before they have numbers. So an estimate takes the way of the conversion itself, and its bytes of
weights are exact.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, assert_never

import mlx.core as mx

from punie.models.architecture import quantization_of, text_config
from punie.models.mlx.library import build_model
from punie.training.errors import TrainingError
from punie.training.fusing import QUANTIZATION_KEYS, FuseOptions
from punie.training.model_folder import SHARD_BYTES, tensors_of
from punie.training.quantizing.layers import pack_layers, plan_layers, plan_of
from punie.training.quantizing.options import QuantizeOptions, check_options


@dataclass(frozen=True)
class ConversionEstimate:
    """What fusing or quantising a model comes to.

    Attributes:
        parameters: how many numbers the model has.
        before: bytes of its weights as config.json tells them.
        after: bytes of weights that are written.
        memory: bytes that are in use at most while it is done.
        left_out: layers that cannot be packed in such groups and stay as they are.
    """

    parameters: int
    before: int
    after: int
    memory: int
    left_out: tuple[str, ...] = ()

    @property
    def bits_per_weight(self) -> float:
        """Bits that a number takes on average afterwards, scales included."""
        return self.after * 8 / self.parameters


def estimate_conversion(
    options: QuantizeOptions | FuseOptions, config: Mapping[str, Any]
) -> ConversionEstimate:
    """Return what converting the model of this config.json comes to.

    Raises:
        TrainingError: the options cannot be combined or do not fit the model, or the installed
            mlx-lm does not know it.
    """
    if isinstance(options, QuantizeOptions):
        check_options(options)
    model = plain_model(config)
    plain = tensors_of(model)
    parameters = sum(tensor.size for tensor in plain.values())
    whole = sum(tensor.nbytes for tensor in plain.values())
    largest = max(tensor.nbytes for tensor in plain.values())
    memory = min(whole, SHARD_BYTES) + 3 * largest
    before = _packed_bytes(config, whole)
    if isinstance(options, FuseOptions):
        after = before if options.into_quantized else whole
        return ConversionEstimate(parameters, before, after, memory)
    refuse_quantized(config)
    plan = plan_layers(model, options)
    pack_layers(model, plan)
    packed = tensors_of(model)
    after = sum(tensor.nbytes for tensor in packed.values())
    if options.method == "dynamic":
        after = min(before, max(after, int(parameters * options.target_bits / 8)))
    learned = sum(t.size for n, t in packed.items() if n.endswith((".scales", ".biases")))
    memory = max(memory, _learning_memory(options, config, whole, after, learned))
    return ConversionEstimate(parameters, before, after, memory, plan.left_out)


def parameters_of(config: Mapping[str, Any]) -> int:
    """Return how many numbers the model of this config.json has, packed or not.

    Raises:
        TrainingError: the installed mlx-lm does not know it.
    """
    return sum(tensor.size for tensor in tensors_of(plain_model(config)).values())


def shapes_of(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor of the model of this config.json, nothing packed, by name.

    Raises:
        TrainingError: the installed mlx-lm does not know it.
    """
    return {name: tuple(tensor.shape) for name, tensor in tensors_of(plain_model(config)).items()}


def refuse_quantized(config: Mapping[str, Any]) -> None:
    """Refuse to quantise what is quantised already.

    Raises:
        TrainingError: it is.
    """
    packing = quantization_of(config)
    if packing is not None:
        raise TrainingError(
            f"The model is quantised already ({packing.bits} bits), and packing it again only "
            "loses more; quantise the model that it was made of."
        )


def _learning_memory(
    options: QuantizeOptions, config: Mapping[str, Any], whole: int, after: int, learned: int
) -> int:
    """Return the bytes that a method needs which looks at activations.

    `learned` is how many numbers dwq learns: scales and offsets.
    """
    text = text_config(config)
    vocabulary = int(text.get("vocab_size", 0))
    tokens = options.batch * options.calibration_length
    # Logits of a batch, those that are wanted, and their gradients.
    logits = 4 * tokens * vocabulary * 4
    # What each layer keeps for the way back; a width is written some twelve times.
    kept = 1 if options.gradient_checkpointing else int(text.get("num_hidden_layers", 1))
    activations = 12 * tokens * int(text.get("hidden_size", 0)) * 4 * kept
    match options.method:
        case "plain":
            return 0
        case "dwq":
            # Each learned number four times in float32: itself, its gradient, Adam's two moments.
            return after + 16 * learned + logits + activations
        case "awq":
            # One layer after the other; each linear layer's inputs are kept.
            rows = options.calibration * options.calibration_length
            return after + 8 * rows * int(text.get("hidden_size", 0)) * 4
        case "gptq":
            hidden = int(text.get("hidden_size", 0))
            inner = int(text.get("intermediate_size", 0))
            layers = int(text.get("num_hidden_layers", 1))
            # A square matrix of each linear layer's width in float32.
            return whole + layers * (6 * hidden**2 + inner**2) * 4 + logits // 2
        case "dynamic":
            # The model, its rounded copy, and float32 gradients twice.
            return 2 * whole + 8 * (whole // 2) + logits + activations
        case _:
            assert_never(options.method)


def _packed_bytes(config: Mapping[str, Any], whole: int) -> int:
    """Return the bytes of the weights as they are packed in the base."""
    if quantization_of(config) is None:
        return whole
    model = plain_model(config)
    pack_layers(model, plan_of(model, config))
    return sum(tensor.nbytes for tensor in tensors_of(model).values())


def plain_model(config: Mapping[str, Any]) -> Any:
    """Build the model of a config.json with nothing packed and without weights."""
    try:
        model = build_model({k: v for k, v in config.items() if k not in QUANTIZATION_KEYS})
    except (KeyError, TypeError, ValueError, ImportError) as error:
        raise TrainingError(
            f"The installed mlx-lm cannot build a model from this config.json ({error})."
        ) from error
    model.set_dtype(_dtype(config))
    return model


def _dtype(config: Mapping[str, Any]) -> mx.Dtype:
    text = text_config(config)
    name = str(text.get("dtype") or text.get("torch_dtype") or "bfloat16").removeprefix("torch.")
    return {"float32": mx.float32, "float16": mx.float16}.get(name, mx.bfloat16)
