"""Which layers of a model are packed how, before anything is packed."""

import contextlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
from mlx.nn.layers.quantized import quantize

from punie.models.architecture import Quantization, quantization_of
from punie.training.errors import TrainingError
from punie.training.quantizing.options import QuantizeOptions


@dataclass(frozen=True)
class LayerPlan:
    """How each layer that could be packed is packed.

    Attributes:
        default: how layers are packed that nothing else is said of.
        packed: the packing of each layer that is packed, by name.
        left_out: layers that stay as they are because their width is no multiple of the group.
        kept: layers that a rule keeps in full precision.
    """

    default: Quantization
    packed: Mapping[str, Quantization]
    left_out: tuple[str, ...]
    kept: tuple[str, ...]

    def config(self) -> dict[str, Any]:
        """Return what config.json tells of it, in mlx-lm's form."""
        found: dict[str, Any] = _entry(self.default)
        for name, packing in self.packed.items():
            if packing != self.default:
                found[name] = _entry(packing)
        for name in (*self.left_out, *self.kept):
            found[name] = False
        return found


def plan_layers(model: Any, options: QuantizeOptions) -> LayerPlan:
    """Decide how each layer of a loaded model is packed.

    The first rule that matches decides; then what the architecture asks for (mlx-lm keeps the
    routers of experts at 8 bits); then the recipe; then the default.

    Raises:
        TrainingError: a layer cannot be packed as a rule says, a rule matches nothing, or the
            recipe does not fit the architecture.
    """
    default = options.packing
    recipe = _recipe(model, options)
    own = getattr(model, "quant_predicate", None)
    packed: dict[str, Quantization] = {}
    left_out: list[str] = []
    kept: list[str] = []
    used: set[int] = set()
    for name, module in model.named_modules():
        if not hasattr(module, "to_quantized"):
            continue
        number = next(
            (n for n, rule in enumerate(options.rules) if re.search(rule.layers, name)), None
        )
        packing: Quantization | None
        if number is not None:
            used.add(number)
            rule = options.rules[number]
            if rule.bits is None:
                kept.append(name)
                continue
            packing = Quantization(rule.bits, rule.group_size or _affine_group(default))
        else:
            packing = _usual(name, module, own, recipe, default)
        if packing is None:
            kept.append(name)
        elif module.weight.shape[-1] % packing.group_size:
            left_out.append(name)
        else:
            packed[name] = packing
    for number, rule in enumerate(options.rules):
        if number not in used:
            raise TrainingError(
                f"No layer has a name with {rule.layers!r} in it, or an earlier rule took them; "
                "correct or drop the rule."
            )
    if not packed:
        raise TrainingError(
            f"No layer of this model can be packed in groups of {default.group_size}; take a "
            "smaller group size."
        )
    return LayerPlan(default, packed, tuple(sorted(left_out)), tuple(sorted(kept)))


def plan_of(model: Any, config: Mapping[str, Any]) -> LayerPlan:
    """Return how the layers of a quantised model are packed, as its config.json tells.

    `model` is one built from that config.json with nothing packed.
    """
    default = quantization_of(config)
    assert default is not None
    told = config.get("quantization") or config.get("quantization_config") or {}
    packed: dict[str, Quantization] = {}
    kept: list[str] = []
    left_out: list[str] = []
    for name, module in model.named_modules():
        if not hasattr(module, "to_quantized"):
            continue
        entry = told.get(name)
        packing = default
        if isinstance(entry, Mapping):
            packing = Quantization(
                int(entry["bits"]), int(entry["group_size"]), str(entry.get("mode", default.mode))
            )
        if entry is False:
            kept.append(name)
        elif module.weight.shape[-1] % packing.group_size:
            left_out.append(name)
        else:
            packed[name] = packing
    return LayerPlan(default, packed, tuple(sorted(left_out)), tuple(sorted(kept)))


def packing_of(model: Any, default: Quantization) -> LayerPlan:
    """Return how the layers of a loaded, quantised model are packed."""
    packed: dict[str, Quantization] = {}
    kept: list[str] = []
    for name, module in model.named_modules():
        if hasattr(module, "bits") and hasattr(module, "group_size"):
            packed[name] = Quantization(module.bits, module.group_size, module.mode)
        elif hasattr(module, "to_quantized"):
            kept.append(name)
    return LayerPlan(default, packed, (), tuple(sorted(kept)))


def pack_layers(model: Any, plan: LayerPlan) -> None:
    """Pack the layers of a loaded model as planned; nothing is evaluated."""

    def entry(name: str, _: Any) -> bool | dict[str, Any]:
        packing = plan.packed.get(name)
        return False if packing is None else _entry(packing)

    default = plan.default
    quantize(model, default.group_size, default.bits, mode=default.mode, class_predicate=entry)


def check_mode(packing: Quantization) -> None:
    """Refuse a packing that the installed MLX does not have on this machine.

    Raises:
        TrainingError: it does not have it.
    """
    try:
        made = mx.quantize(
            mx.ones((32, 128)),
            group_size=packing.group_size,
            bits=packing.bits,
            mode=packing.mode,
        )
        mx.eval(made)
    except (ValueError, RuntimeError, TypeError) as error:
        raise TrainingError(
            f"The installed MLX cannot pack {packing.bits} bits in groups of {packing.group_size} "
            f"({packing.mode}) on this machine; take another mode or other bits."
        ) from error


def _usual(
    name: str, module: Any, own: Any, recipe: Any, default: Quantization
) -> Quantization | None:
    for predicate in (own, recipe):
        said = True if predicate is None else predicate(name, module)
        if said is False:
            return None
        if isinstance(said, Mapping):
            return Quantization(
                int(said["bits"]), int(said["group_size"]), str(said.get("mode", "affine"))
            )
    return default


def _recipe(model: Any, options: QuantizeOptions) -> Any:
    if options.recipe is None:
        return None
    from mlx_lm.convert import mixed_quant_predicate_builder

    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return mixed_quant_predicate_builder(options.recipe, model, options.packing.group_size)
    except ValueError as error:
        raise TrainingError(
            f"{options.recipe} does not fit this architecture ({error}); give bits or rules."
        ) from error


def _affine_group(default: Quantization) -> int:
    return default.group_size if default.mode == "affine" else 64


def _entry(packing: Quantization) -> dict[str, Any]:
    return {"group_size": packing.group_size, "bits": packing.bits, "mode": packing.mode}
