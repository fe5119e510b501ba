"""The gate behind training: something was learned, and what the model could do is still there.

What is easily lost is when not to call a tool: a model that learns from calls alone soon calls
always. So the turns that answer directly are looked at on their own, before and after.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import mlx.core as mx
from pydantic import BaseModel, ConfigDict, Field

from punie.evaluation.intervals import Paired, paired
from punie.models.mlx.library import load_model
from punie.models.provenance import read_provenance
from punie.training.curve import read_curve
from punie.training.encoding import Source, open_source, source_hash
from punie.training.errors import TrainingError
from punie.training.fusing import ADAPTER_CONFIG, ADAPTER_WEIGHTS, read_adapter
from punie.training.gates.report import Check, GateReport
from punie.training.measuring import Measured, measure
from punie.training.model_folder import tensors_of
from punie.training.progress import Reporter, Stopped, never, quiet
from punie.training.provenance import model_hash
from punie.training.tuning.loop import CURVE


class TrainingLimits(BaseModel):
    """What a trained model may lose.

    Attributes:
        part: part of the dataset that is measured; not the one that was learned.
        examples: how many of its examples at most, the first.
        least_direct: how many examples must be answered without a call for forgetting to be seen.
        most_lost: largest share of decisions, or of first tokens, that may be lost on balance.
        most_loss: how much the loss of direct answers may rise, in nats for each token.
        least_gain: by how much the loss on all examples has to fall at least, in nats for each
            token. Below zero it may rise by as much: for examples that are only there so that
            nothing is forgotten.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    part: str = "valid"
    examples: int = Field(default=200, ge=1)
    least_direct: int = Field(default=5, ge=0)
    most_lost: float = Field(default=0.05, ge=0, le=1)
    most_loss: float = Field(default=0.1, ge=0)
    least_gain: float = 0.0


def training_gate(
    model: Path,
    run: Path,
    dataset: Path,
    limits: TrainingLimits | None = None,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> GateReport:
    """Judge what `punie train` made.

    Args:
        model: the model that was trained.
        run: what came out: an adapter's folder, or a model's from full training.
        dataset: what it was trained on.
        limits: what may be lost.
        report: told of progress.
        stopped: asked now and then.

    Raises:
        TrainingError: there is nothing in `run` to judge, or it does not fit the model.
        ModelUnavailable: the model's files cannot be read.
        Interrupted: `stopped()`.
    """
    limits = limits or TrainingLimits()
    is_adapter = (run / ADAPTER_CONFIG).is_file()
    subject = read_adapter(run).hash if is_adapter else model_hash(run)
    checks = tuple(_checks(model, run, open_source(dataset, model), limits, report, stopped))
    return GateReport(gate="training", subject=str(run), subject_hash=subject, checks=checks)


def _checks(
    model: Path,
    run: Path,
    dataset: Source,
    limits: TrainingLimits,
    report: Reporter,
    stopped: Stopped,
) -> Iterator[Check]:
    origin = _origin(model, run, dataset)
    yield origin
    yield _curve(run)
    weights = _weights(model, run)
    yield weights
    if not (origin.passed and weights.passed):
        return
    is_adapter = (run / ADAPTER_CONFIG).is_file()
    try:
        before, after = (
            measure(base, adapter, dataset.folder, limits.part, limits.examples, report, stopped)
            for base, adapter in (
                (model, None),
                (model, run) if is_adapter else (run, None),
            )
        )
    except TrainingError as error:
        if limits.part in dataset.manifest.parts:
            raise
        found = f"{error} Without examples that it did not learn from, nothing tells what it can."
        yield Check(name="validation", passed=False, found=found)
        return
    yield _loss(before, after, limits.least_gain)
    yield _lost("decisions", _decided(before, after), limits.most_lost)
    yield from _direct(before.direct(), after.direct(), limits)


def _origin(model: Path, run: Path, dataset: Source) -> Check:
    """Tell whether it was made of this model and this dataset."""
    provenance = read_provenance(run)
    parents = {} if provenance is None else provenance.parents
    wrong = [
        name
        for name, value in (("model", model_hash(model)), ("dataset", source_hash(dataset)))
        if parents.get(name) != value
    ]
    found = "It was made of this model and this dataset."
    if wrong:
        found = f"It does not tell that it was made of this {' and this '.join(wrong)}."
    return Check(name="origin", passed=not wrong, found=found)


def _curve(run: Path) -> Check:
    """Tell whether the run went to its end with numbers all the way."""
    name = "curve"
    provenance = read_provenance(run)
    rows = [row for row in read_curve(run / CURVE) if "train_loss" in row]
    if provenance is None or not rows:
        return Check(name=name, passed=False, found=f"There is no {CURVE} of its training.")
    steps = int(provenance.settings["steps"])
    losses = [float(row["train_loss"]) for row in rows]
    if not all(math.isfinite(loss) for loss in losses):
        return Check(name=name, passed=False, found="A loss of its training is no finite number.")
    found = f"{len(rows)} steps, the loss from {losses[0]:.3f} to {losses[-1]:.3f}."
    whole = [row["step"] for row in rows] == list(range(1, steps + 1))
    if not whole:
        found = f"{CURVE} tells of {len(rows)} steps and there were {steps}."
    return Check(name=name, passed=whole, found=found, measured=len(rows), limit=steps)


def _weights(model: Path, run: Path) -> Check:
    """Tell whether all weights are numbers, and changed anything."""
    name = "weights"
    if (run / ADAPTER_CONFIG).is_file():
        loaded = mx.load(str(run / ADAPTER_WEIGHTS))
        assert isinstance(loaded, dict)
        weights = loaded
        products = [tensor for key, tensor in weights.items() if key.endswith("lora_b")]
        changed = sum(bool(tensor.any().item()) for tensor in products)
        of = len(products)
    else:
        weights, base = (tensors_of(load_model(each, lazy=True)[0]) for each in (run, model))
        changed = of = 0
        for key, tensor in weights.items():
            of += 1
            changed += key not in base or not mx.array_equal(tensor, base[key]).item()
    broken = [key for key, tensor in weights.items() if not mx.isfinite(tensor).all().item()]
    if broken:
        found = f"{len(broken)} of {len(weights)} tensors hold what is no finite number, such as "
        return Check(name=name, passed=False, found=f"{found}{broken[0]}.")
    if not changed:
        return Check(name=name, passed=False, found="Nothing was learned: it changes no weight.")
    found = f"All {len(weights)} tensors are finite, and {changed} of {of} matrices changed."
    return Check(name=name, passed=True, found=found)


def _loss(before: Measured, after: Measured, least_gain: float) -> Check:
    limit = before.loss - least_gain
    passed = after.loss < limit
    return Check(
        name="validation loss",
        passed=passed,
        found=f"{after.loss:.4f} after {before.loss:.4f} on {len(after.turns)} turns"
        + ("." if passed else ": what was learned does not hold for other examples."),
        measured=after.loss,
        limit=limit,
    )


def _direct(before: Measured, after: Measured, limits: TrainingLimits) -> Iterator[Check]:
    """Look at what is answered without any call."""
    examples = len({turn.example for turn in after.turns})
    if examples < limits.least_direct:
        found = (
            f"{examples} examples are answered without a call, too few to see whether the model "
            "forgets how; put more of them into the dataset."
        )
        yield Check(
            name="direct answers",
            passed=False,
            found=found,
            measured=examples,
            limit=limits.least_direct,
        )
        return
    if not examples:
        return
    yield _lost("direct: no call", _decided(before, after), limits.most_lost)
    firsts = paired(*([turn.first for turn in each.turns] for each in (before, after)))
    yield _lost("direct: first token", firsts, limits.most_lost)
    rise = after.loss - before.loss
    yield Check(
        name="direct: loss",
        passed=rise <= limits.most_loss,
        found=f"{after.loss:.4f} after {before.loss:.4f}.",
        measured=rise,
        limit=limits.most_loss,
    )


def _decided(before: Measured, after: Measured) -> Paired:
    return paired(*([turn.decided for turn in each.turns] for each in (before, after)))


def _lost(name: str, change: Paired, most: float) -> Check:
    of = change.both + change.gained + change.lost + change.neither
    right = change.both + change.gained
    return Check(
        name=name,
        passed=-change.difference <= most,
        found=f"{right} of {of} right, after {change.both + change.lost}: {change}.",
        measured=-change.difference,
        limit=most,
    )
