"""A model that may be recommended, and what its files alone tell of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, assert_never

from punie.evaluation.errors import EvaluationError
from punie.evaluation.run_record import model_record
from punie.models.architecture import read_architecture
from punie.models.catalog import (
    USUAL_CONTEXT,
    ModelChoice,
    ModelUnavailable,
    read_json_object,
    resolve_model,
)
from punie.models.checking import check_model
from punie.models.machine import MachineMemory
from punie.models.memory import fits
from punie.training.gates.report import GateReport
from punie.training.gates.zero import gate_zero
from punie.training.hashing import file_hash

LeftOutKind = Literal["damaged", "too big", "gate 0", "failed", "slow", "hopeless"]
"""Why a model goes no further."""


@dataclass(frozen=True)
class LeftOut:
    """Where a model was left out, and why, in a sentence."""

    kind: LeftOutKind
    sentence: str


@dataclass(frozen=True)
class Candidate:
    """A model that was named; `name` is short, and no other candidate has it.

    `identity` changes with all that decides what it answers, as far as that is known here.
    """

    choice: ModelChoice
    name: str
    identity: str

    @property
    def folder(self) -> Path | None:
        """Where its weights lie; None for a model on a server and for a script."""
        return self.choice.path if self.choice.source not in ("scripted", "endpoint") else None


@dataclass(frozen=True)
class Look:
    """What a model's files tell.

    Attributes:
        size: bytes of its weights; None where no files are seen.
        memory: bytes that it needs with a context of `USUAL_CONTEXT` tokens, likewise.
        gate_zero: what gate zero found; None if it was not asked.
        left_out: why it goes no further, if so.
    """

    size: int | None = None
    memory: int | None = None
    gate_zero: GateReport | None = None
    left_out: LeftOut | None = None


def candidates(references: Sequence[str]) -> list[Candidate]:
    """Return the models that are named, in order.

    Raises:
        EvaluationError: one is not on this machine, or is named twice.
    """
    try:
        choices = [resolve_model(reference) for reference in references]
        found = [(choice, _identity(choice)) for choice in choices]
    except ModelUnavailable as error:
        raise EvaluationError(str(error)) from error
    places = [choice.path or choice.id for choice in choices]
    twice = next((at for at, place in enumerate(places) if place in places[:at]), None)
    if twice is not None:
        raise EvaluationError(f"{choices[twice].id} is named twice; name each model once.")
    short = [_short(choice) for choice in choices]
    return [
        Candidate(choice, choice.id if short.count(name) > 1 else name, identity)
        for (choice, identity), name in zip(found, short, strict=True)
    ]


def _short(choice: ModelChoice) -> str:
    match choice.source:
        case "directory" | "scripted":
            return choice.id if choice.path is None else choice.path.name
        case "bundled" | "made" | "hub" | "endpoint":
            return choice.id
        case _:
            assert_never(choice.source)


def _identity(choice: ModelChoice) -> str:
    if choice.source == "scripted" and choice.path is not None:
        return file_hash(choice.path)
    return model_record(choice).weights or choice.id


def look(candidate: Candidate, machine: MachineMemory, limit: int | None) -> Look:
    """Look at a model's files: whether they are whole, fit the memory, and pass gate zero.

    `limit` is what the settings let models take, in bytes.
    """
    folder = candidate.folder
    if folder is None:
        return Look()
    try:
        size = check_model(folder).nbytes
        architecture = read_architecture(read_json_object(folder / "config.json"))
    except ModelUnavailable as error:
        return Look(left_out=LeftOut("damaged", str(error)))
    if limit is not None:
        usable, available = min(machine.usable, limit), min(machine.available, limit)
        machine = replace(machine, usable=usable, available=available)
    fit = fits(architecture, size, machine, context=USUAL_CONTEXT)
    if fit.level == "no":
        return Look(size, fit.needed, left_out=LeftOut("too big", fit.sentence))
    gate = gate_zero(folder)
    if gate.passed:
        return Look(size, fit.needed, gate)
    found = "; ".join(f"{check.name}: {check.found}" for check in gate.failures)
    return Look(size, fit.needed, gate, LeftOut("gate 0", found))
