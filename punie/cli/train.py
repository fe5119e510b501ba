"""`punie train`: a model learns from a dataset, as an adapter or as a whole."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from punie.cli.dataset.arguments import folder_of, options_of
from punie.cli.help import run_typed
from punie.cli.steps import step
from punie.training.tuning.options import TuneOptions

if TYPE_CHECKING:
    from punie.training.progress import Reporter, Stopped
    from punie.training.tuning.run import Prepared

_USUAL = TuneOptions()


def main(arguments: Sequence[str]) -> int:
    """Run the command; exit codes: 0 done, 1 refused or failed, 2 wrong usage, 130 stopped."""
    return run_typed(train, arguments, "train")


def train(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model, as `punie models` has it.")],
    dataset: Annotated[Path, typer.Argument(metavar="DATASET", help="Folder of a dataset.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the result goes.")],
    kind: Annotated[str, typer.Option(metavar="NAME", help="lora, dora or full.")] = _USUAL.kind,
    layers: Annotated[
        int, typer.Option(metavar="N", help="How many of the last layers learn; 0 for all.")
    ] = _USUAL.layers,
    key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Only this matrix of each layer, such as self_attn.q_proj; may be repeated.",
        ),
    ] = None,
    rank: Annotated[int, typer.Option(metavar="N", help="Of an adapter.")] = _USUAL.rank,
    scale: Annotated[float, typer.Option(metavar="X", help="Of an adapter.")] = _USUAL.scale,
    dropout: Annotated[float, typer.Option(metavar="SHARE", help="Of an adapter.")] = (
        _USUAL.dropout
    ),
    embeddings: Annotated[
        bool, typer.Option("--embeddings", help="Full training changes them too.")
    ] = False,
    steps: Annotated[int, typer.Option(metavar="N", help="Steps of the optimiser.")] = _USUAL.steps,
    batch: Annotated[int, typer.Option(metavar="N", help="Sequences at once.")] = _USUAL.batch,
    accumulate: Annotated[
        int, typer.Option(metavar="N", help="Batches that make one step.")
    ] = _USUAL.accumulate,
    longest: Annotated[
        int, typer.Option(metavar="TOKENS", help="Longer sequences are left out.")
    ] = _USUAL.longest,
    too_long: Annotated[
        float, typer.Option(metavar="SHARE", help="How many may be left out; more is refused.")
    ] = _USUAL.too_long,
    optimizer: Annotated[
        str, typer.Option(metavar="NAME", help="adam, adamw, muon, sgd or adafactor.")
    ] = _USUAL.optimizer,
    learning_rate: Annotated[
        float, typer.Option(metavar="X", help="At its peak.")
    ] = _USUAL.learning_rate,
    schedule: Annotated[
        str, typer.Option(metavar="NAME", help="constant, linear or cosine.")
    ] = _USUAL.schedule,
    warm_up: Annotated[
        int, typer.Option(metavar="N", help="Steps until the peak.")
    ] = _USUAL.warm_up,
    end: Annotated[
        float, typer.Option(metavar="SHARE", help="Of the peak, what is left at the end.")
    ] = _USUAL.end,
    weight_decay: Annotated[
        float, typer.Option(metavar="X", help="Of adamw, muon and adafactor.")
    ] = _USUAL.weight_decay,
    clip: Annotated[
        float, typer.Option(metavar="X", help="Largest norm of a gradient; 0 for none.")
    ] = _USUAL.clip,
    recompute: Annotated[
        bool,
        typer.Option("--recompute", help="Take less memory and more time (checkpointing)."),
    ] = False,
    seed: Annotated[int, typer.Option(metavar="N", help="Of all chance.")] = _USUAL.seed,
    validation_steps: Annotated[
        int, typer.Option(metavar="N", help="Steps between validations.")
    ] = _USUAL.validation_steps,
    validation_examples: Annotated[
        int, typer.Option(metavar="N", help="Examples of a validation.")
    ] = _USUAL.validation_examples,
    force: Annotated[
        bool, typer.Option("--force", help="Train though it does not seem to fit into memory.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only check and say what it needs; needs no weights."),
    ] = False,
) -> None:
    """Train a model on a dataset. The same command goes on with a run that was stopped."""
    options = options_of(
        TuneOptions,
        {
            "kind": kind,
            "layers": layers,
            "keys": tuple(key or ()),
            "rank": rank,
            "scale": scale,
            "dropout": dropout,
            "embeddings": embeddings,
            "steps": steps,
            "batch": batch,
            "accumulate": accumulate,
            "longest": longest,
            "too_long": too_long,
            "optimizer": optimizer,
            "learning_rate": learning_rate,
            "schedule": schedule,
            "warm_up": warm_up,
            "end": end,
            "weight_decay": weight_decay,
            "clip": clip,
            "recompute": recompute,
            "seed": seed,
            "validation_steps": validation_steps,
            "validation_examples": validation_examples,
        },
    )
    with step() as (report, stopped):
        from punie.training.process import prepare_process

        prepare_process(exact=True)
        from punie.training.local_model import local_model
        from punie.training.output import refuse_taken
        from punie.training.tuning.run import prepare, tune
        from punie.training.waiting import whole_machine

        folder = folder_of(model) if dry_run else local_model(model)
        ready = prepare(options, folder, dataset, report, stopped=stopped, weights=not dry_run)
        _show(ready)
        if dry_run:
            return
        refuse_taken(out)
        with whole_machine(report, stopped):
            tune(options, folder, dataset, out, report, stopped, prepared=ready, force=force)
            print(f"{out}: {'the model' if kind == 'full' else 'an adapter for ' + model}.")
            _pass_gate(folder, out, dataset, ready, report, stopped)


def _show(ready: "Prepared") -> None:
    from punie.models.machine import machine_memory

    training = ready.training
    learned = sum(int(sequence.learned[1:].sum()) for sequence in training.sequences)
    left_out = f", {training.too_long:,} too long and left out" if training.too_long else ""
    print(f"learns {learned:,} tokens in {len(training.sequences):,} sequences{left_out}")
    print("\n".join(ready.memory.lines(machine_memory())))


def _pass_gate(
    model: Path,
    out: Path,
    dataset: Path,
    ready: "Prepared",
    report: "Reporter",
    stopped: "Stopped",
) -> None:
    """Run the gate, keep its report beside the result, and end with code 1 if it failed."""
    from punie.training.gates.training import training_gate
    from punie.training.provenance import record_gate

    if ready.validation is None:
        print(
            "The training gate was not asked: the dataset has no part 'valid' to measure by; "
            "`punie dataset split` makes one."
        )
        return
    found = training_gate(model, out, dataset, None, report, stopped)
    record_gate(out, found)
    print("\n".join(found.lines()))
    if not found.passed:
        raise typer.Exit(1)
