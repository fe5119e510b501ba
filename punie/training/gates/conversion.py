"""The gate behind fusing and quantising: what came out is what went in, as far as it should be.

It looks at files, texts around the weights, shapes and types, every single weight, and the answers.
Answers alone do not tell: a fault in one layer of many often moves them less than fewer bits do.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlx.core as mx
from pydantic import BaseModel, ConfigDict, Field

from punie.models.architecture import Quantization, quantization_of
from punie.models.catalog import ModelUnavailable, read_json_object, weight_bytes
from punie.models.checking import check_model
from punie.models.mlx.library import load_model
from punie.models.provenance import Provenance, read_provenance
from punie.training.comparing import compare, sample_sequences
from punie.training.data.dataset import open_dataset
from punie.training.errors import TrainingError
from punie.training.fusing import (
    QUANTIZATION_KEYS,
    Adapter,
    fused_tensors,
    load_with_adapter,
    read_adapter,
)
from punie.training.gates.report import Check, GateReport
from punie.training.gates.weight_faults import packing_fault, tensor_fault
from punie.training.model_folder import FORMAT_FILES, tensors_of
from punie.training.progress import Interrupted, Progress, Reporter, Stopped, never, quiet
from punie.training.provenance import model_hash, weight_hashes
from punie.training.quantizing.layers import LayerPlan, pack_layers, plan_of


class ConversionLimits(BaseModel):
    """How far answers may move.

    What is left out depends on the fewest bits that many weights have: see `usual_limits`.

    Attributes:
        agreement: least share of places where both models write the same token.
        divergence: largest mean Kullback-Leibler divergence, in nats for each token.
        perplexity_ratio: largest ratio of the perplexities, after to before.
        examples: how many examples of the dataset are compared.
        longest: tokens of an example that are compared.
        seed: chooses the examples.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    agreement: float | None = Field(default=None, ge=0, le=1)
    divergence: float | None = Field(default=None, ge=0)
    perplexity_ratio: float | None = Field(default=None, gt=0)
    examples: int = Field(default=32, ge=1)
    longest: int = Field(default=2048, ge=8)
    seed: int = Field(default=0, ge=0)


_USUAL: dict[int | None, tuple[float, float, float]] = {
    None: (0.98, 0.002, 1.01),
    8: (0.97, 0.02, 1.05),
    6: (0.95, 0.05, 1.08),
    5: (0.93, 0.10, 1.12),
    4: (0.88, 0.20, 1.25),
    3: (0.75, 0.60, 1.80),
    2: (0.50, 1.50, 4.00),
}


def usual_limits(packing: Quantization | None) -> tuple[float, float, float]:
    """Return agreement, divergence and ratio of perplexities for weights packed so, or not."""
    if packing is None:
        return _USUAL[None]
    return _USUAL[max(bits for bits in _USUAL if bits is not None and bits <= packing.bits)]


def conversion_gate(
    before: Path,
    after: Path,
    dataset: Path,
    limits: ConversionLimits | None = None,
    report: Reporter = quiet,
    stopped: Stopped = never,
    *,
    adapter: Path | None = None,
) -> GateReport:
    """Look whether the model `after` is what converting `before` should have made.

    A fused model is held against `before` with `adapter` on it, a quantised one against `before`.
    Both are read a layer at a time.

    Raises:
        Interrupted: it was asked to stop.
        TrainingError: there is nothing to compare with: no such dataset, or a model with an
            adapter in it whose adapter is not named.
        ModelUnavailable: the model before is not there or not whole.
    """
    check_model(before)
    given = read_adapter(adapter) if adapter is not None else None
    open_dataset(dataset)
    found = _Found(str(after))
    report(Progress("looking at files", 0, weight_bytes(after) / 1e6, "MB"))
    with found.looking("files"):
        weights = check_model(after)
        found.passed("files", f"whole, {len(weights.tensors):,} tensors")
    if not found.all_passed:
        return found.report(after)
    provenance = read_provenance(after)
    if given is None and provenance is not None and provenance.made_by == "fuse":
        raise TrainingError(f"{after} has an adapter in it; name that adapter to compare with.")
    _check_texts(found, before, after)
    if provenance is not None:
        _check_origin(found, before, after, given, provenance)
    subject = _Subject(before, after, given, provenance)
    with found.looking("shapes"):
        _check_shapes(found, subject)
    if found.passed_names("shapes"):
        with found.looking("weights"):
            _check_weights(found, subject, report, stopped)
        with found.looking("answers"):
            _check_answers(found, subject, dataset, limits or ConversionLimits(), report, stopped)
    return found.report(after)


@dataclass
class _Found:
    """The checks so far."""

    subject: str
    checks: list[Check] = field(default_factory=list)

    @property
    def all_passed(self) -> bool:
        return all(check.passed for check in self.checks)

    def passed_names(self, name: str) -> bool:
        return any(check.name == name and check.passed for check in self.checks)

    def passed(self, name: str, text: str) -> None:
        self.checks.append(Check(name=name, passed=True, found=text))

    def failed(self, name: str, text: str) -> None:
        self.checks.append(Check(name=name, passed=False, found=text))

    def measured(self, name: str, text: str, value: float, limit: float, good: bool) -> None:
        self.checks.append(Check(name=name, passed=good, found=text, measured=value, limit=limit))

    @contextmanager
    def looking(self, name: str) -> Iterator[None]:
        """Let what cannot be read or computed be a check that failed."""
        try:
            yield
        except Interrupted:
            raise
        except (TrainingError, ModelUnavailable) as error:
            self.failed(name, str(error))
        except (ValueError, KeyError, RuntimeError, OSError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            self.failed(name, f"it cannot be loaded: {reason}")

    def report(self, after: Path) -> GateReport:
        return GateReport(
            gate="conversion",
            subject=self.subject,
            subject_hash=model_hash(after),
            checks=tuple(self.checks),
        )


@dataclass(frozen=True)
class _Subject:
    """What is compared."""

    before: Path
    after: Path
    adapter: Adapter | None
    provenance: Provenance | None

    @property
    def packing(self) -> Quantization | None:
        return quantization_of(read_json_object(self.after / "config.json"))

    @property
    def learned(self) -> bool:
        """Whether its weights were moved on purpose and not only rounded."""
        if self.provenance is None:
            return False
        return self.provenance.settings.get("method", "plain") not in ("plain", "dynamic")

    def reference(self) -> Any:
        """Load what the answers are compared with."""
        if self.adapter is not None:
            return load_with_adapter(self.before, self.adapter)
        return load_model(self.before, lazy=True)[0]

    def expected(self) -> tuple[dict[str, mx.array], LayerPlan | None]:
        """Return the unevaluated weights that should have come out, and how they are packed."""
        if self.adapter is not None:
            into = self.packing is not None
            return fused_tensors(self.before, self.adapter, into_quantized=into), None
        model, _ = load_model(self.before, lazy=True)
        if self.packing is None:
            return tensors_of(model), None
        plan = plan_of(model, read_json_object(self.after / "config.json"))
        pack_layers(model, plan)
        return tensors_of(model), plan


def _check_texts(found: _Found, before: Path, after: Path) -> None:
    changed = [name for name in FORMAT_FILES if _bytes(before / name) != _bytes(after / name)]
    if changed:
        found.failed("tokenizer and template", f"{', '.join(changed)} changed or missing")
    else:
        found.passed("tokenizer and template", "as before, byte for byte")
    one, other = (
        {
            name: value
            for name, value in read_json_object(folder / "config.json").items()
            if name not in QUANTIZATION_KEYS
        }
        for folder in (before, after)
    )
    names = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    if names:
        found.failed("settings", f"config.json differs in {', '.join(names)}")
    else:
        found.passed("settings", "config.json is as before, but for how weights are packed")


def _check_origin(
    found: _Found, before: Path, after: Path, adapter: Adapter | None, provenance: Provenance
) -> None:
    wrong = []
    if provenance.weights != weight_hashes(after):
        wrong.append("the weights are not those that were written")
    if provenance.parents.get("model") != model_hash(before):
        wrong.append("it was made of another model")
    if adapter is not None and provenance.parents.get("adapter") != adapter.hash:
        wrong.append("it was made with another adapter")
    if wrong:
        found.failed("origin", "punie-model.json tells that " + " and ".join(wrong))
    else:
        found.passed("origin", f"made by {provenance.made_by} of this model, weights untouched")


def _check_shapes(found: _Found, subject: _Subject) -> None:
    wanted, _ = subject.expected()
    there = tensors_of(load_model(subject.after, lazy=True)[0])
    for name in sorted(wanted.keys() ^ there.keys()):
        what = "is missing" if name in wanted else "does not belong there"
        found.failed("shapes", f"{name} {what}")
        return
    for name, tensor in wanted.items():
        have = there[name]
        if (have.shape, have.dtype) != (tensor.shape, tensor.dtype):
            found.failed(
                "shapes",
                f"{name} is {have.dtype} {have.shape} and not {tensor.dtype} {tensor.shape}",
            )
            return
    found.passed("shapes", f"all {len(wanted):,} tensors have the shapes and types of before")


def _check_weights(found: _Found, subject: _Subject, report: Reporter, stopped: Stopped) -> None:
    if subject.learned:
        found.passed("weights", "not compared one by one: they were moved on purpose")
        return
    there = tensors_of(load_model(subject.after, lazy=True)[0])
    wanted, plan = subject.expected()
    total = len(wanted)
    plain = {} if plan is None else tensors_of(load_model(subject.before, lazy=True)[0])
    packed = {} if plan is None else plan.packed
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        report(Progress("comparing weights", done, total, "tensors"))
        if stopped():
            raise Interrupted("Stopped while weights were compared; start again.")

    for layer, packing in packed.items():
        names = [f"{layer}.{leaf}" for leaf in ("weight", "scales", "biases")]
        parts = [there.pop(name, None) for name in names]
        for name in names:
            if wanted.pop(name, None) is not None:
                step()
        if reason := packing_fault(plain.pop(names[0]), parts, packing):
            found.failed("weights", f"{layer} {reason}")
            return
        mx.clear_cache()
    while wanted:
        name, tensor = wanted.popitem()
        if reason := tensor_fault(tensor, there.pop(name)):
            found.failed("weights", f"{name} {reason}")
            return
        step()
    found.passed(
        "weights",
        "each one is as near to before as its bits allow"
        if packed
        else "all are those of before with the adapter added"
        if subject.adapter is not None
        else "all are those of before",
    )


def _check_answers(
    found: _Found,
    subject: _Subject,
    dataset: Path,
    limits: ConversionLimits,
    report: Reporter,
    stopped: Stopped,
) -> None:
    sample = sample_sequences(
        open_dataset(dataset), subject.before, limits.examples, limits.longest, limits.seed
    )
    after, _ = load_model(subject.after, lazy=True)
    seen = compare(subject.reference(), after, sample.sequences, sample.examples, report, stopped)
    agreement, divergence, ratio = usual_limits(subject.packing)
    agreement = agreement if limits.agreement is None else limits.agreement
    divergence = divergence if limits.divergence is None else limits.divergence
    ratio = ratio if limits.perplexity_ratio is None else limits.perplexity_ratio
    found.measured(
        "same next token",
        f"{seen.agreement:.2%} of {seen.tokens:,} tokens, at least {agreement:.0%} wanted",
        seen.agreement,
        agreement,
        seen.agreement >= agreement,
    )
    found.measured(
        "divergence",
        f"{seen.divergence:.4g} nats for each token, at most {divergence:g} wanted",
        seen.divergence,
        divergence,
        seen.divergence <= divergence,
    )
    found.measured(
        "perplexity",
        f"{seen.perplexity_before:.4f} before, {seen.perplexity_after:.4f} after, "
        f"at most {ratio:g} times as much wanted",
        seen.perplexity_ratio,
        ratio,
        seen.perplexity_ratio <= ratio,
    )


def _bytes(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None
