"""Tuning a model on a dataset: from both to an adapter's folder, or a model's."""

import json
import math
import platform
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlx.core as mx

from punie.evaluation.charts import Axis, Line, can_draw, line_chart
from punie.models.architecture import context_window
from punie.models.catalog import read_json_object, weight_bytes
from punie.models.checking import check_model
from punie.models.machine import machine_memory
from punie.models.mlx.chat_format import ChatFormat
from punie.models.mlx.library import load_model
from punie.training.arrays import save_arrays
from punie.training.curve import read_curve
from punie.training.data.dataset import open_dataset
from punie.training.distilling.lessons import Lesson
from punie.training.distilling.teaching import SCRATCH, Taught, TaughtBy, read_lessons
from punie.training.encoding import Encoded, Source, encode_part, open_source, source_hash
from punie.training.errors import TrainingError
from punie.training.gates.zero import gate_zero
from punie.training.measuring import measure_loaded
from punie.training.model_folder import (
    copy_format,
    require_room,
    resumable_folder,
    tensors_of,
    write_config,
    write_weights,
)
from punie.training.output import refuse_taken, write_text
from punie.training.pretraining.batches import encoded
from punie.training.progress import Progress, Reporter, Stopped, never, quiet
from punie.training.provenance import model_hash, write_provenance
from punie.training.tuning.checkpoint import CHECKPOINT
from punie.training.tuning.layers import (
    adapter_file,
    check_fit,
    make_trainable,
    recomputing,
    trainable,
    write_adapter_config,
)
from punie.training.tuning.loop import CURVE, Validate, train
from punie.training.tuning.memory import TuningMemory, check_memory, estimate_tuning
from punie.training.tuning.options import TuneOptions

ABOUT = "training.json"
"""What a run was: options, hashes, versions, and what became of the data."""

PICTURE = "curve.svg"

CHECKPOINT_SECONDS = 120.0


@dataclass(frozen=True)
class Prepared:
    """What a run works with, read and checked.

    Attributes:
        dataset: where the examples come from.
        chat_format: how the model reads them.
        training: what is learned.
        validation: what is measured, None if there is no such part.
        memory: what the run needs.
        lessons: what a teacher is asked about the training sequences; empty without its logits.
    """

    dataset: Source
    chat_format: ChatFormat
    training: Encoded
    validation: Encoded | None
    memory: TuningMemory
    lessons: tuple[Lesson, ...] = ()


def prepare(
    options: TuneOptions,
    model: Path,
    dataset: Path,
    report: Reporter = quiet,
    taught_by: TaughtBy | None = None,
    stopped: Stopped = never,
    *,
    weights: bool = True,
) -> Prepared:
    """Read and check what a run works with; loads no weights, and can do without any.

    Raises:
        TrainingError: it cannot be trained like that; says what to change.
        ModelUnavailable: the model's files are not whole.
        Interrupted: `stopped()`.
    """
    if weights:
        check_model(model)
    config = read_json_object(model / "config.json")
    check_fit(options, config)
    if taught_by is not None and taught_by.logits:
        check_model(taught_by.teacher)
    reads_as = taught_by.teacher if taught_by is not None and taught_by.draft else model
    _require_tools(reads_as)
    chat_format = ChatFormat.load(reads_as)
    data = open_source(dataset, reads_as)
    longest = min(options.longest, context_window(config))
    training = encode_part(chat_format, data, "train", longest, report, stopped)
    _check_sequences(options, dataset, training, longest)
    validation = None
    if "valid" in data.manifest.parts:
        most = options.validation_examples
        validation = encode_part(chat_format, data, "valid", longest, report, stopped, limit=most)
    taken = [len(sequence.ids) for sequence in training.sequences]
    learned = sorted(int(sequence.learned.sum()) for sequence in training.sequences)
    memory = estimate_tuning(options, config, max(taken), sum(learned[-options.batch :]))
    usable = validation if validation is not None and validation.sequences else None
    if taught_by is None or not taught_by.logits:
        return Prepared(data, chat_format, training, usable, memory)
    taught_by.vocabulary(model)
    # A teacher reads conversations in its own format: of ids alone it cannot be asked.
    data = open_dataset(dataset)
    found = read_lessons(chat_format, taught_by.teacher, data, "train", longest, report, stopped)
    numbered = [encoded(lesson.sequence, number) for number, lesson in enumerate(found)]
    training = replace(training, sequences=numbered)
    memory = replace(memory, weights=memory.weights + weight_bytes(taught_by.teacher))
    return Prepared(data, chat_format, training, usable, memory, tuple(found))


def tune(
    options: TuneOptions,
    model: Path,
    dataset: Path,
    out: Path,
    report: Reporter = quiet,
    stopped: Stopped = never,
    *,
    prepared: Prepared | None = None,
    taught_by: TaughtBy | None = None,
    force: bool = False,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> Path:
    """Tune a model and return `out`. The same call goes on after a stop, with the same result.

    `out` becomes an adapter's folder in mlx-lm's format, or a model's folder for full training.
    Beside that it holds `training.json`, `curve.jsonl` and, if matplotlib is installed,
    `curve.svg`. The part "train" of the dataset is learned, "valid" measured if it is there.

    Args:
        options: how.
        model: folder of the model.
        dataset: folder of the dataset, which may be rendered for this model already.
        out: the new folder.
        report: told of progress.
        stopped: asked after every step.
        prepared: what `prepare` returned for the same options, model, dataset and teacher.
        taught_by: a larger model to learn from; `punie.training.distilling.run` is the way to it.
        force: train though the estimate says that it cannot fit into memory.
        checkpoint_seconds: time between checkpoints; does not change the result.

    Raises:
        TrainingError: the inputs do not fit each other, a loss is no number, or the disk is full.
        ModelUnavailable: the model's files are not whole.
        Interrupted: `stopped()`.
    """
    refuse_taken(out)
    ready = prepared or prepare(options, model, dataset, report, taught_by, stopped)
    if not force:
        check_memory(ready.memory, machine_memory())
    report(Progress("reading the model", 0, None, "files"))
    parents = {"model": model_hash(model), "dataset": source_hash(ready.dataset)}
    if taught_by is not None:
        parents["teacher"] = model_hash(taught_by.teacher)
    made_by = "train" if taught_by is None else "distill"
    settings = options.model_dump(mode="json")
    if taught_by is not None and taught_by.logits:
        settings["teaching"] = taught_by.teaching.model_dump(mode="json")
    require_room(out, _room(options, ready.memory))
    with (
        _wired_memory(),
        resumable_folder(out, {"made_by": made_by, **parents, **settings}) as folder,
    ):
        taught = None
        if taught_by is not None and taught_by.logits:
            shared = taught_by.vocabulary(model)
            # What is read only once is asked only once anyway.
            again = options.steps * options.batch * options.accumulate > len(ready.lessons)
            scratch = folder / SCRATCH if again else None
            source = taught_by.source(ready.lessons, shared, report, stopped, scratch=scratch)
            taught = Taught(taught_by.teaching, source)
        mx.random.seed(options.seed)
        loaded, _ = load_model(model)
        make_trainable(loaded, options)
        mx.reset_peak_memory()
        with recomputing(loaded, options.recompute):
            train(
                options,
                loaded,
                ready.training.sequences,
                folder,
                _validation(loaded, ready),
                report,
                stopped,
                checkpoint_seconds=checkpoint_seconds,
                taught=taught,
            )
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)
        _write_about(folder, parents, settings, ready)
        if can_draw():
            write_text(folder / PICTURE, draw_curve(read_curve(folder / CURVE)))
        if options.kind == "full":
            copy_format(model, folder)
            write_config(model, folder, None)
            write_weights(folder, tensors_of(loaded), report)
        else:
            write_adapter_config(folder, loaded, options)
            save_arrays(adapter_file(folder), dict(sorted(trainable(loaded).items())), {})
        del loaded, taught
        # Last, so that a kill before does not cost the whole run.
        (folder / CHECKPOINT).unlink(missing_ok=True)
        write_provenance(folder, made_by, parents, settings)
    mx.clear_cache()
    return out


def draw_curve(rows: list[dict[str, Any]]) -> str:
    """Draw the losses of a run; return the SVG.

    Raises:
        TrainingError: matplotlib is not installed.
    """
    trained = [row for row in rows if "train_loss" in row]
    measured = [row for row in rows if "valid_loss" in row]
    losses = [float(row["train_loss"]) for row in trained]
    width = max(1, len(losses) // 50)
    lines = [Line("training", [row["step"] for row in trained], _running_mean(losses, width))]
    if measured:
        places = [row["step"] for row in measured]
        lines.append(Line("validation", places, [float(row["valid_loss"]) for row in measured]))
    return line_chart("Loss of a learned token", Axis("step"), Axis("loss (nats)"), lines)


def _room(options: TuneOptions, memory: TuningMemory) -> int:
    """Return the bytes that a run writes: its result, a checkpoint and the one that replaces it."""
    trained = memory.gradients // (2 if options.accumulate > 1 else 1)
    result = memory.weights if options.kind == "full" else trained
    return result + 2 * (trained + memory.optimizer)


@contextmanager
def _wired_memory() -> Iterator[None]:
    """Keep the model in the memory of Metal, as mlx-lm does for training; elsewhere do nothing."""
    size: Any = mx.device_info().get("max_recommended_working_set_size")
    if not mx.metal.is_available() or size is None:
        yield
        return
    before = mx.set_wired_limit(size)
    try:
        yield
    finally:
        mx.set_wired_limit(before)


def _running_mean(values: list[float], width: int) -> list[float]:
    """Return the mean of each value and up to `width` - 1 before it."""
    return [
        math.fsum(values[max(0, end - width) : end]) / min(width, end)
        for end in range(1, len(values) + 1)
    ]


def _require_tools(model: Path) -> None:
    """Refuse a model whose template cannot be trained for."""
    report = gate_zero(model)
    if not report.passed:
        raise TrainingError(
            f"The model in {model} cannot be trained to call tools: {report.failures[0].found}"
        )


def _check_sequences(options: TuneOptions, dataset: Path, training: Encoded, longest: int) -> None:
    count, left_out = len(training.sequences), training.too_long
    if not count and not left_out:
        raise TrainingError(
            f"The part 'train' of {dataset} has nothing to learn; make more examples."
        )
    if left_out > options.too_long * (count + left_out):
        raise TrainingError(
            f"{left_out} of {count + left_out} training sequences are longer than {longest:,} "
            f"tokens (the longest has {training.longest:,}); allow longer ones, or allow a larger "
            "share to be left out."
        )
    if count < options.batch:
        raise TrainingError(
            f"The part 'train' of {dataset} has {count} sequences, fewer than a batch of "
            f"{options.batch}; make more examples or choose a smaller batch."
        )


def _validation(model: Any, ready: Prepared) -> Validate | None:
    found = ready.validation
    if found is None:
        return None

    def validate() -> Mapping[str, float]:
        measured = measure_loaded(model, ready.chat_format, found)
        return {
            "valid_loss": measured.loss,
            "valid_exact": measured.exact_turns.value,
            "valid_decisions": measured.decisions.value,
        }

    return validate


def _write_about(
    folder: Path, parents: Mapping[str, str], settings: Mapping[str, Any], ready: Prepared
) -> None:
    about = {
        "options": dict(settings),
        "parents": dict(parents),
        "versions": {
            "punie": version("punie"),
            "mlx": version("mlx"),
            "mlx-lm": version("mlx-lm"),
            "python": platform.python_version(),
        },
        "training": {
            "sequences": len(ready.training.sequences),
            "too_long": ready.training.too_long,
            "tokens": sum(len(each.ids) for each in ready.training.sequences),
            "learned": sum(int(each.learned[1:].sum()) for each in ready.training.sequences),
        },
        "memory": {**vars(ready.memory), "total": ready.memory.total},
    }
    write_text(folder / ABOUT, json.dumps(about, indent=2) + "\n")
