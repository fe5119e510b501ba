"""What memory a tuning run needs, from config.json alone.

Weights, gradients and the optimiser's state are exact: the model is built without weights and the
adapters are put on it, as training itself does. Activations are counted by what each layer keeps
for its gradient; what MLX needs besides, at the widest moment, is an allowance that was fitted to
measured peaks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from punie.models.architecture import quantization_of, read_architecture
from punie.models.machine import MachineMemory
from punie.models.memory import gigabytes
from punie.training.activations import activation_bytes
from punie.training.errors import TrainingError
from punie.training.model_folder import tensors_of
from punie.training.pretraining.batches import padded_length
from punie.training.quantizing.estimate import plain_model
from punie.training.quantizing.layers import pack_layers, plan_of
from punie.training.tuning.layers import check_fit, make_trainable, trainable, trained_layers
from punie.training.tuning.optimizer import make_optimizer, state_arrays
from punie.training.tuning.options import TuneOptions

_FLOAT32 = 4


@dataclass(frozen=True)
class TuningMemory:
    """What a run needs; all but the two counts in bytes.

    Attributes:
        parameters: how many numbers the model has, adapters left out.
        trainable: how many numbers are trained.
        weights: of the model as it is loaded, and of adapters.
        gradients: of what is trained, twice where batches are accumulated.
        optimizer: its state.
        activations: what layers keep for gradients, and the widest moment of one layer.
        logits: of the learned tokens, with their gradients.
    """

    parameters: int
    trainable: int
    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """All bytes together."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits

    def lines(self, machine: MachineMemory) -> list[str]:
        """Return the estimate for a terminal, with the memory that there is."""
        share = self.trainable / self.parameters
        return [
            f"trains {self.trainable:,} of {self.parameters:,} parameters ({share:.3%})",
            f"needs about {gigabytes(self.total)}: weights {gigabytes(self.weights)}, gradients "
            f"{gigabytes(self.gradients)}, optimiser {gigabytes(self.optimizer)}, activations "
            f"{gigabytes(self.activations)}, logits {gigabytes(self.logits)}",
            f"there are {gigabytes(machine.usable)}, {gigabytes(machine.available)} of them free",
        ]


def estimate_tuning(
    options: TuneOptions, config: Mapping[str, Any], longest: int, learned: int | None = None
) -> TuningMemory:
    """Return what tuning the model of this config.json needs.

    Args:
        options: how it is tuned.
        config: content of config.json.
        longest: tokens of the longest sequence.
        learned: learned tokens of a batch at most; all if left out.

    Raises:
        TrainingError: the options do not fit the model, or the installed mlx-lm does not know it.
    """
    check_fit(options, config)
    model = plain_model(config)
    parameters = sum(tensor.size for tensor in tensors_of(model).values())
    if quantization_of(config) is not None:
        pack_layers(model, plan_of(model, config))
    make_trainable(model, options)
    trained = trainable(model)
    optimizer = make_optimizer(options)
    optimizer.init(model.trainable_parameters())
    own = sum(tensor.nbytes for tensor in trained.values())
    architecture = read_architecture(config)
    if architecture is None:
        raise TrainingError(
            "This config.json does not tell the model's width and layers, so nothing tells what "
            "memory training needs."
        )
    rows, length = options.batch, padded_length(min(longest, options.longest))
    learned = rows * length if learned is None else learned
    return TuningMemory(
        parameters=parameters,
        trainable=sum(tensor.size for tensor in trained.values()),
        weights=sum(tensor.nbytes for tensor in tensors_of(model).values()),
        gradients=own * (2 if options.accumulate > 1 else 1),
        optimizer=sum(array.nbytes for array in state_arrays(optimizer).values()),
        activations=_adapted(trained, options)
        + activation_bytes(
            architecture,
            rows,
            length,
            layers=trained_layers(model, options),
            recompute=options.recompute,
        ),
        # As the model writes them, in float32, their probabilities, and the gradient of each.
        logits=learned * architecture.vocabulary * (2 * architecture.item_bytes + 3 * _FLOAT32),
    )


def check_memory(needed: TuningMemory, machine: MachineMemory) -> None:
    """Refuse a run that cannot fit.

    Raises:
        TrainingError: it needs more than a model may use on this machine.
    """
    if needed.total > machine.usable:
        raise TrainingError(
            f"Training needs about {gigabytes(needed.total)} and {gigabytes(machine.usable)} can "
            "be used here; take fewer layers, a smaller batch, shorter sequences or recompute, or "
            "force it."
        )


def _adapted(trained: Mapping[str, mx.array], options: TuneOptions) -> int:
    """Return the bytes of whole matrices that DoRA makes to take their norms."""
    if options.kind != "dora":
        return 0
    pairs = [
        (tensor, trained[name.removesuffix("lora_a") + "lora_b"])
        for name, tensor in trained.items()
        if name.endswith("lora_a")
    ]
    return sum(2 * _FLOAT32 * first.shape[0] * second.shape[1] for first, second in pairs)
