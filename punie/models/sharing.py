"""Whether a model is too big to be held once per project: then one server holds it for all."""

from dataclasses import dataclass

from punie.models.architecture import read_architecture
from punie.models.catalog import (
    USUAL_CONTEXT,
    ModelUnavailable,
    read_json_object,
    resolve_model,
    weight_bytes,
)
from punie.models.machine import MachineMemory, machine_memory
from punie.models.memory import fits, gigabytes

_LARGEST_SHARE = 0.4
"""Of the memory; with a larger one, two projects do not go together."""


@dataclass(frozen=True)
class Sharing:
    """Whether projects should share a model, and why, as part of a sentence."""

    shared: bool
    reason: str


def judge_sharing(reference: str | None, machine: MachineMemory | None = None) -> Sharing:
    """Judge a model that may be there or not; only small files are read."""
    try:
        choice = resolve_model(reference)
        if choice.path is None or choice.source == "scripted":
            return Sharing(False, "the model takes no memory here")
        architecture = read_architecture(read_json_object(choice.path / "config.json"))
        weights = weight_bytes(choice.path)
    except (ModelUnavailable, OSError):
        return Sharing(False, "the model is not there")
    machine = machine or machine_memory(measure_free=False)
    total = machine.usable if machine.bound == "control_group" else machine.total
    needed = fits(architecture, weights, machine, context=USUAL_CONTEXT).needed
    text = f"the model needs {gigabytes(needed)} of {gigabytes(total)}"
    return Sharing(needed > total * _LARGEST_SHARE, text)
