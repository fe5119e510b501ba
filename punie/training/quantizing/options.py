"""What can be asked of a quantisation, and what cannot be combined."""

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from punie.models.architecture import Quantization
from punie.training.errors import TrainingError

Bits = Literal[2, 3, 4, 5, 6, 8]
GroupSize = Literal[16, 32, 64, 128]
Mode = Literal["affine", "mxfp4", "mxfp8", "nvfp4"]
LearnedMethod = Literal["dwq", "awq", "gptq", "dynamic"]
Method = Literal["plain"] | LearnedMethod
Recipe = Literal["mixed_2_6", "mixed_3_4", "mixed_3_6", "mixed_4_6"]

_FIXED: dict[str, tuple[int, int]] = {"mxfp4": (4, 32), "nvfp4": (4, 16), "mxfp8": (8, 32)}
"""Bits and group size of the floating-point modes, which have no choice."""
_AFFINE = (4, 64)


class LayerRule(BaseModel):
    """How the layers whose name matches are packed, whatever holds for the others.

    Attributes:
        layers: a regular expression that is searched in names such as
            "model.layers.0.self_attn.q_proj".
        bits: bits per weight; None leaves the layer in full precision.
        group_size: weights that share a scale; that of the others if left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    layers: str = Field(min_length=1)
    bits: Bits | None
    group_size: Literal[32, 64, 128] | None = None


class QuantizeOptions(BaseModel):
    """How a model is quantised.

    Attributes:
        bits: bits per weight; 4 if left out, or what the mode has.
        group_size: weights that share a scale; 64 if left out, or what the mode has.
        mode: "affine" (whole numbers, a scale and an offset for each group), or one of the
            floating-point formats, whose bits and group size are given.
        recipe: mlx-lm's mixtures of few and more bits, such as "mixed_4_6"; then `bits` is not
            used.
        rules: exceptions, of which the first that matches holds.
        method: "plain" rounds weights as they are; the others look at what goes through the
            layers and need a dataset: see `punie.training.quantizing.learned`.
        calibration: how many examples a method learns from.
        calibration_length: tokens of an example that it learns from.
        batch: how many examples go through the model at once while it learns.
        learning_rate: of dwq's Adam.
        temperature: what dwq divides logits by, so that unlikely tokens count too.
        gradient_checkpointing: compute activations of dwq and dynamic twice to need less memory.
        high_bits: what dynamic gives to the layers that need it.
        target_bits: bits per weight that dynamic comes to, scales and offsets included.
        tasks: how many held-out tasks are solved with the agent before and after; 0 for none.
        preset: the generator's mix that these tasks come from.
        examples: how many examples of the dataset are compared before and after.
        longest: tokens of an example that are compared; the rest is cut off.
        seed: chooses the examples.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bits: Bits | None = None
    group_size: GroupSize | None = None
    mode: Mode = "affine"
    recipe: Recipe | None = None
    rules: tuple[LayerRule, ...] = ()
    method: Method = "plain"
    calibration: int = Field(default=256, ge=1)
    calibration_length: int = Field(default=512, ge=8)
    batch: int = Field(default=4, ge=1)
    learning_rate: float = Field(default=1e-6, gt=0)
    temperature: float = Field(default=2.0, gt=0)
    gradient_checkpointing: bool = False
    high_bits: Bits = 8
    target_bits: float = Field(default=5.0, gt=0)
    tasks: int = Field(default=0, ge=0)
    preset: str = "tiny"
    examples: int = Field(default=64, ge=1)
    longest: int = Field(default=2048, ge=8)
    seed: int = Field(default=0, ge=0)

    @property
    def packing(self) -> Quantization:
        """How most layers are packed; a recipe's fewer bits are what most get."""
        bits, group = _FIXED.get(self.mode, _AFFINE)
        if self.recipe is not None and self.mode == "affine":
            bits = int(self.recipe.split("_")[1])
        return Quantization(self.bits or bits, self.group_size or group, self.mode)


def check_options(options: QuantizeOptions) -> None:
    """Refuse what cannot be combined.

    Raises:
        TrainingError: says what to change, in a sentence.
    """
    fixed = _FIXED.get(options.mode)
    packing = options.packing
    if fixed and (packing.bits, packing.group_size) != fixed:
        raise TrainingError(
            f"{options.mode} has {fixed[0]} bits in groups of {fixed[1]} and nothing else; leave "
            "bits and group size out, or take the mode affine."
        )
    if fixed is None and packing.group_size == 16:
        raise TrainingError("Groups of 16 are only there for nvfp4; take 32, 64 or 128.")
    if options.recipe and options.mode != "affine":
        raise TrainingError(
            f"{options.recipe} is a mixture of affine layers; leave the recipe or {options.mode} "
            "out."
        )
    if options.recipe and options.bits is not None:
        raise TrainingError(f"{options.recipe} says how many bits there are; leave bits out.")
    for rule in options.rules:
        try:
            re.compile(rule.layers)
        except re.error as error:
            raise TrainingError(
                f"The rule {rule.layers!r} is no regular expression ({error}); correct it."
            ) from error
