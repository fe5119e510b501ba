"""Quantising a model: fewer bits for each weight, and what that costs."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from punie.models.catalog import read_json_object, weight_bytes
from punie.models.checking import check_model
from punie.models.mlx.library import load_model
from punie.training.comparing import Sample, compare, sample_sequences
from punie.training.data.dataset import Dataset, open_dataset
from punie.training.errors import TrainingError
from punie.training.generator.presets import preset
from punie.training.model_folder import (
    copy_format,
    is_written,
    require_room,
    resumable_folder,
    tensors_of,
    write_config,
    write_weights,
)
from punie.training.output import refuse_taken, write_text
from punie.training.progress import Progress, Reporter, Stopped, never, quiet
from punie.training.provenance import model_hash, write_provenance
from punie.training.quantizing.calibration import calibration_rows
from punie.training.quantizing.estimate import estimate_conversion, refuse_quantized
from punie.training.quantizing.layers import LayerPlan, check_mode, pack_layers, plan_layers
from punie.training.quantizing.learned import (
    check_learnable,
    check_rows,
    learned_model,
    refuse_without_memory,
)
from punie.training.quantizing.options import QuantizeOptions, check_options
from punie.training.quantizing.report import (
    FILE_NAME,
    ConversionReport,
    TaskComparison,
    compare_solved,
    measured_size,
)


def quantize(
    options: QuantizeOptions,
    model: Path,
    dataset: Path | None,
    out: Path,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> Path:
    """Write the quantised model to the folder `out`, with `conversion.json`; return it.

    Layers are read, packed and written one after the other, so the model need not fit into
    memory. With a dataset its answers are compared before and after, a layer at a time.

    Raises:
        Interrupted: it was asked to stop; the same call goes on from the files that are written.
        TrainingError: the model cannot be quantised so, or there is no room.
        ModelUnavailable: the model's files are not whole.
    """
    check_options(options)
    if options.tasks:
        preset(options.preset)
    refuse_taken(out)
    check_model(model)
    config = read_json_object(model / "config.json")
    refuse_quantized(config)
    check_mode(options.packing)
    expected = estimate_conversion(options, config)
    require_room(out, expected.after)
    examples = None if dataset is None else open_dataset(dataset)
    rows = _learned_from(options, model, examples)
    if options.method != "plain":
        check_learnable(options.method, options, config, plan_layers(_lazy(model), options))
        check_rows(options.method, options, rows)
        refuse_without_memory(expected.memory, options.method)
    compared = _compared_on(options, model, examples)
    report(Progress("reading the model", 0, weight_bytes(model) / 1e6, "MB"))
    parents = {"model": model_hash(model)}
    if examples is not None:
        parents["dataset"] = examples.hash
    settings = options.model_dump(mode="json")
    with resumable_folder(out, {"made_by": "quantize", **parents, **settings}) as folder:
        if not is_written(folder):
            loaded, plan = _packed(options, model, rows, folder, report, stopped)
            copy_format(model, folder)
            packing = plan.config()
            # mlx-lm reads the first; the second is its copy for other readers.
            told = {"quantization": packing, "quantization_config": packing}
            write_config(model, folder, config | told)
            tensors = tensors_of(loaded)
            del loaded
            write_weights(folder, tensors, report, stopped)
        found = ConversionReport(
            before=measured_size(model),
            after=measured_size(folder),
            left_out=expected.left_out,
            comparison=compare(
                _lazy(model), _lazy(folder), compared.sequences, compared.examples, report, stopped
            )
            if compared
            else None,
            solved=_solved(options, model, folder, report, stopped),
        )
        write_text(folder / FILE_NAME, found.model_dump_json(indent=2) + "\n")
        write_provenance(folder, "quantize", parents, settings)
    return out


def _learned_from(
    options: QuantizeOptions, model: Path, dataset: Dataset | None
) -> list[list[int]]:
    """Return the examples that the method learns from; none if it does not learn."""
    if options.method == "plain":
        return []
    if dataset is None:
        raise TrainingError(f"{options.method} learns from examples; name a dataset.")
    return calibration_rows(
        dataset, model, options.calibration, options.calibration_length, options.seed
    )


def _compared_on(options: QuantizeOptions, model: Path, dataset: Dataset | None) -> Sample | None:
    """Return what is compared before and after; None without a dataset."""
    if dataset is None:
        return None
    return sample_sequences(dataset, model, options.examples, options.longest, options.seed)


def _solved(
    options: QuantizeOptions, model: Path, folder: Path, report: Reporter, stopped: Stopped
) -> TaskComparison | None:
    """Let both models solve the same tasks; None if none are asked for."""
    if not options.tasks:
        return None
    # Here, because this imports the agent.
    from punie.evaluation.tasks import TaskOptions
    from punie.training.quantizing.solving import solved_tasks

    asked = TaskOptions(count=options.tasks, preset=options.preset)
    kept = folder / "tasks"
    kept.mkdir(exist_ok=True)
    before, after = (
        solved_tasks(each, asked, kept / name, report, stopped)
        for name, each in (("before", model), ("after", folder))
    )
    shutil.rmtree(kept)
    return compare_solved(before, after)


def _packed(
    options: QuantizeOptions,
    model: Path,
    rows: Sequence[list[int]],
    folder: Path,
    report: Reporter,
    stopped: Stopped,
) -> tuple[Any, LayerPlan]:
    """Return the model with its layers packed, and how; with the plain method unevaluated."""
    if options.method == "plain":
        loaded = _lazy(model)
        plan = plan_layers(loaded, options)
        pack_layers(loaded, plan)
        return loaded, plan
    # What an earlier call wrote may differ in a digit: a GPU does not add in the same order twice.
    for left in folder.glob("*.safetensors"):
        left.unlink()
    return learned_model(options.method, options, model, rows, report, stopped)


def _lazy(folder: Path) -> Any:
    return load_model(folder, lazy=True)[0]
