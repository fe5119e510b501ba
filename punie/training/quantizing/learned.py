"""Quantisations that look at what goes through the layers, as mlx-lm has them.

- dwq learns scales and offsets, so that the quantised model's probabilities come close to those of
  the full one (mlx-lm, LEARNED_QUANTS.md).
- awq scales weights by the size of the activations that they meet, and clips (arXiv 2306.00978).
- gptq corrects the weights that are still to be rounded for the error of those that were (arXiv
  2210.17323).
- dynamic gives more bits to the layers whose rounding changes the answers most.

The functions are mlx-lm's. Here they get our own examples, tell how far they are, and can be
stopped.
"""

import contextlib
import importlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_never

import mlx.core as mx
import numpy as np
from mlx import optimizers

from punie.models.architecture import Quantization
from punie.models.machine import machine_memory
from punie.models.memory import gigabytes
from punie.models.mlx.library import load_model
from punie.training.data.sequences import TrainingSequence
from punie.training.errors import TrainingError
from punie.training.layerwise import LastStates, last_states
from punie.training.model_folder import tensors_of, usual_type
from punie.training.progress import Interrupted, Progress, Reporter, Stopped
from punie.training.quantizing.calibration import packed_rows
from punie.training.quantizing.layers import LayerPlan, pack_layers, packing_of, plan_layers
from punie.training.quantizing.options import LearnedMethod, QuantizeOptions

_GPTQ_BITS = (2, 4, 8)
_VALIDATED = 8
"""One row in so many is not learned from but tells whether learning helps."""


@dataclass(frozen=True)
class _Work:
    """What a method works on and tells its progress to."""

    options: QuantizeOptions
    model: Path
    rows: Sequence[list[int]]
    report: Reporter
    stopped: Stopped


def check_learnable(
    method: LearnedMethod, options: QuantizeOptions, config: Mapping[str, Any], plan: LayerPlan
) -> None:
    """Refuse a method that these settings or this architecture do not allow.

    Raises:
        TrainingError: says why, and what to take instead.
    """
    packing = options.packing
    if packing.mode != "affine":
        raise TrainingError(f"{method} is for the mode affine; leave {packing.mode} out.")
    decides = method in ("awq", "gptq", "dynamic")
    if decides and (options.recipe or options.rules):
        raise TrainingError(
            f"{method} decides itself how layers are packed; leave the recipe and rules out, or "
            "take dwq."
        )
    if method in ("awq", "gptq") and plan.left_out:
        raise TrainingError(
            f"{method} packs all layers, and the width of {plan.left_out[0]} is no multiple of "
            f"{packing.group_size}; take a smaller group size, or dwq."
        )
    model_type = str(config.get("model_type"))
    if method == "awq" and model_type not in _of_mlx_lm("awq").AWQ_MODEL_CONFIGS:
        raise TrainingError(f"mlx-lm has no awq for models of type {model_type}; take dwq.")
    if method == "gptq" and packing.bits not in _GPTQ_BITS:
        raise TrainingError(f"gptq has 2, 4 or 8 bits and not {packing.bits}; take dwq.")
    if method == "gptq" and any(each != plan.default for each in plan.packed.values()):
        raise TrainingError(
            f"gptq packs all layers of a {model_type} alike, also those that need more bits; take "
            "dwq."
        )
    if method == "dwq" and not any(
        each.mode == "affine" and each.bits < 8 for each in plan.packed.values()
    ):
        raise TrainingError("dwq has nothing to learn at 8 bits; leave the method out.")
    if method == "dynamic" and options.high_bits <= packing.bits:
        raise TrainingError(
            f"dynamic needs more bits for some layers: high bits of {options.high_bits} are not "
            f"more than {packing.bits}."
        )


def check_rows(method: LearnedMethod, options: QuantizeOptions, rows: Sequence[list[int]]) -> None:
    """Refuse examples that are too few to learn from.

    Raises:
        TrainingError: they are.
    """
    if method != "dwq":
        packed_rows(rows, options.calibration_length)
    elif len(rows) < 2 * options.batch or len(rows) - len(rows) // _VALIDATED < options.batch:
        raise TrainingError(
            f"dwq needs {2 * options.batch} examples at least and there are {len(rows)}; take more "
            "or a smaller batch."
        )


def refuse_without_memory(needed: int, method: LearnedMethod) -> None:
    """Refuse a method that needs more memory than models can use on this machine.

    Raises:
        TrainingError: it does.
    """
    usable = machine_memory(measure_free=False).usable
    if needed > usable:
        raise TrainingError(
            f"{method} would need about {gigabytes(needed)} of memory and {gigabytes(usable)} can "
            "be used here; leave the method out or use a larger machine."
        )


def learned_model(
    method: LearnedMethod,
    options: QuantizeOptions,
    model: Path,
    rows: Sequence[list[int]],
    report: Reporter,
    stopped: Stopped,
) -> tuple[Any, LayerPlan]:
    """Return the quantised model, and how its layers are packed.

    The same inputs give the same model on a CPU.

    Raises:
        Interrupted: it was asked to stop; nothing is kept.
        TrainingError: there is too little to learn from.
    """
    mx.random.seed(options.seed)
    np.random.seed(options.seed)
    work = _Work(options, model, rows, report, stopped)
    with _told(method, report, stopped):
        match method:
            case "dwq":
                found = _dwq(work)
            case "awq":
                found = _awq(work)
            case "gptq":
                found = _gptq(work)
            case "dynamic":
                found = _dynamic(work)
            case _:
                assert_never(method)
    return found, packing_of(found, options.packing)


def _dwq(work: _Work) -> Any:
    options = work.options
    rows = sorted(work.rows, key=len)
    held_back = max(options.batch, len(rows) // _VALIDATED)
    # Every so many-th, so that both have short and long ones.
    step = len(rows) // held_back
    valid = [row for place, row in enumerate(rows) if place % step == 0][:held_back]
    kept = {id(row) for row in valid}
    parts = {"train": [row for row in rows if id(row) not in kept], "valid": valid}
    targets = {name: _Targets(work, name, part) for name, part in parts.items()}
    quantized, _ = load_model(work.model, lazy=True)
    pack_layers(quantized, plan_layers(quantized, options))
    dtype = usual_type(tensors_of(quantized))

    def target(batch: mx.array, number: int, split: str) -> mx.array:
        return targets[split].logits(number, batch.shape[1])

    def data(name: str) -> list[tuple[list[int], int]]:
        return [(row, place) for place, row in enumerate(parts[name])]

    _of_mlx_lm("dwq").dwq_quantize(
        quantized,
        target,
        optimizers.Adam(learning_rate=options.learning_rate, bias_correction=True),
        data("train"),
        data("valid"),
        batch_size=options.batch,
        max_seq_length=_no_limit(rows),
        seed=options.seed,
        dtype=dtype,
        gradient_checkpoint=options.gradient_checkpointing,
        temperature=options.temperature,
    )
    return quantized


class _Targets:
    """What the full model says to rows, without the full model in memory.

    Its last states of all rows are kept, and its head scores them batch by batch.
    """

    def __init__(self, work: _Work, name: str, rows: Sequence[list[int]]) -> None:
        full, _ = load_model(work.model, lazy=True)
        sequences = [TrainingSequence(row, [True] * len(row)) for row in rows]
        self._said: LastStates = last_states(
            full, sequences, f"running the full model ({name})", work.report, work.stopped
        )
        # Rows come sorted by length, and `last_states` keeps that order.
        self._starts = [0]
        for row in rows:
            self._starts.append(self._starts[-1] + len(row) - 1)
        batches = _of_mlx_lm("dwq").iterate_batches(
            [(row, place) for place, row in enumerate(rows)],
            work.options.batch,
            _no_limit(rows),
            seed=work.options.seed,
        )
        # In place of an offset each row carries its number, so it is known which batch has which.
        self._batches: list[list[int]] = [lengths[:, 0].tolist() for _, lengths in batches]

    def logits(self, number: int, length: int) -> mx.array:
        """Return the logits of a batch, shape (rows, length, vocabulary), zero where padded."""
        said = []
        for row in self._batches[number]:
            states = self._said.states[self._starts[row] : self._starts[row + 1]]
            scored = self._said.score(states)
            said.append(mx.pad(scored, [(0, length - scored.shape[0]), (0, 0)]))
        return mx.stack(said)


def _no_limit(rows: Sequence[Sequence[int]]) -> int:
    """Return a longest length that cuts nothing off, mlx-lm's padding included."""
    return max(len(row) for row in rows) + 33


def _awq(work: _Work) -> Any:
    module = _of_mlx_lm("awq")
    model, config = load_model(work.model, lazy=True)
    packing = work.options.packing
    module.awq_quantize(
        model,
        packed_rows(work.rows, work.options.calibration_length),
        module.AWQ_MODEL_CONFIGS[config["model_type"]],
        group_size=packing.group_size,
        bits=packing.bits,
        # Embeddings cannot be scaled, so they get no fewer than 4.
        embed_group_size=packing.group_size,
        embed_bits=max(4, packing.bits),
    )
    return model


def _gptq(work: _Work) -> Any:
    model, _ = load_model(work.model)
    packing = work.options.packing
    found, _ = _of_mlx_lm("gptq").gptq_quantize(
        model,
        packed_rows(work.rows, work.options.calibration_length),
        packing.bits,
        packing.group_size,
        fallback_bits=max(6, packing.bits),
        fallback_group_size=packing.group_size,
        batch_size=work.options.batch,
    )
    return found


def _dynamic(work: _Work) -> Any:
    module = _of_mlx_lm("dynamic_quant")
    model, _ = load_model(work.model)
    options, packing = work.options, work.options.packing
    group = packing.group_size
    plan = plan_layers(model, options)
    if plan.left_out:
        raise TrainingError(
            f"dynamic weighs all layers, and the width of {plan.left_out[0]} is no multiple of "
            f"{group}; take a smaller group size, or dwq."
        )
    weighed = dict(
        module.estimate_sensitivities(
            model,
            packed_rows(work.rows, options.calibration_length),
            packing.bits,
            group,
            options.high_bits,
            group,
            batch_size=options.batch,
            gradient_checkpoint=options.gradient_checkpointing,
        )
    )
    threshold = module.estimate_threshold(
        model,
        weighed,
        target_bpw=options.target_bits,
        low_bits=packing.bits,
        low_group_size=group,
        high_bits=options.high_bits,
        high_group_size=group,
    )
    packed = {
        name: Quantization(options.high_bits, group) if weighed[name] > threshold else packing
        for name in weighed
    }
    pack_layers(model, LayerPlan(packing, packed, (), ()))
    return model


def _of_mlx_lm(name: str) -> Any:
    return importlib.import_module(f"mlx_lm.quant.{name}")


@contextmanager
def _told(method: LearnedMethod, report: Reporter, stopped: Stopped) -> Iterator[None]:
    """Let mlx-lm's progress bars of a method report to us, and end it when asked to stop.

    What it prints goes nowhere.
    """
    module = _of_mlx_lm({"dynamic": "dynamic_quant"}.get(method, method))
    bars = module.tqdm

    def bar(items: Iterable[Any], **told: Any) -> "_Bar":
        return _Bar(items, told, report, stopped)

    bar.write = lambda *_, **__: None  # type: ignore[attr-defined]
    module.tqdm = bar
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        module.tqdm = bars


class _Bar:
    """Stands for a progress bar of tqdm: an iterable that reports."""

    def __init__(
        self,
        items: Iterable[Any],
        told: Mapping[str, Any],
        report: Reporter,
        stopped: Stopped,
    ) -> None:
        self._items = items
        self._told = told
        self._report = report
        self._stopped = stopped

    def __iter__(self) -> Iterator[Any]:
        doing = str(self._told.get("desc") or "quantising").lower()
        total = self._told.get("total")
        if total is None and isinstance(self._items, Sequence):
            total = len(self._items)
        for done, item in enumerate(self._items, 1):
            if self._stopped():
                raise Interrupted(
                    "Stopped while quantising; this method begins anew when it is called again."
                )
            yield item
            self._report(Progress(doing, done, max(done, total or done), "batches"))

    def set_description(self, *_: Any, **__: Any) -> None:
        """Do nothing: what is going on is told with each piece of work."""
