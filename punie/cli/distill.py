"""`punie distill`: a small model learns from a larger one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from punie.cli.help import run_typed, say
from punie.cli.steps import step

_Model = "as `punie models` has it"


def main(arguments: Sequence[str]) -> int:
    """Run the command; exit codes: 0 done, 1 refused or failed, 2 wrong usage, 130 stopped."""
    return run_typed(distill, arguments, "distill")


def distill(
    teacher: Annotated[str, typer.Argument(metavar="TEACHER", help=f"The larger model, {_Model}.")],
    student: Annotated[
        str, typer.Argument(metavar="STUDENT", help=f"The model that learns, {_Model}.")
    ],
    dataset: Annotated[
        Path, typer.Argument(metavar="DATASET", help="What is learned; best the teacher's own.")
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the new model goes.")],
    kind: Annotated[
        str, typer.Option(metavar="full|lora|dora", help="All weights, or an adapter.")
    ] = "full",
    layers: Annotated[
        int, typer.Option(min=0, help="How many of the last layers are trained; 0 for all.")
    ] = 0,
    rank: Annotated[int, typer.Option(min=1, help="Columns of an adapter's matrices.")] = 8,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 500,
    batch: Annotated[int, typer.Option(min=1, help="Sequences at once.")] = 4,
    accumulate: Annotated[int, typer.Option(min=1, help="Batches of one step.")] = 1,
    longest: Annotated[int, typer.Option(min=8, help="Tokens of the longest sequence.")] = 2048,
    optimizer: Annotated[str, typer.Option(help="One of MLX's.")] = "adamw",
    learning_rate: Annotated[float, typer.Option(help="Its peak.")] = 1e-4,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Less memory, a third more time.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the order, and an adapter's weights.")] = 0,
    weight: Annotated[
        float, typer.Option(min=0, max=1, help="How much the teacher's logits count.")
    ] = 0.5,
    temperature: Annotated[
        float, typer.Option(min=0.1, max=20, help="What distributions are softened by.")
    ] = 1.0,
    top: Annotated[int, typer.Option(min=1, help="Tokens told apart at a place.")] = 64,
    targets: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Keep what the teacher says, for other runs too."),
    ] = None,
    draft: Annotated[
        bool, typer.Option("--draft", help="The student is to draft for the teacher.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also when it needs more memory than there is.")
    ] = False,
) -> None:
    """Let a small model learn from a larger one: its answers, and its logits where tokens agree.

    The command goes on where it was stopped.
    """
    with step() as (report, stopped):
        from punie.cli.dataset.arguments import options_of
        from punie.training.local_model import local_model
        from punie.training.process import prepare_process

        folders = local_model(teacher), local_model(student)
        prepare_process(exact=True)
        from punie.training.distilling.run import (
            ANSWERS_ALONE,
            DistillOptions,
            shares_tokens,
        )
        from punie.training.distilling.run import distill as run
        from punie.training.output import refuse_taken
        from punie.training.waiting import whole_machine

        options = options_of(
            DistillOptions,
            {
                "kind": kind,
                "layers": layers,
                "rank": rank,
                "steps": steps,
                "warm_up": min(10, steps - 1),
                "batch": batch,
                "accumulate": accumulate,
                "longest": longest,
                "optimizer": optimizer,
                "learning_rate": learning_rate,
                "recompute": recompute,
                "seed": seed,
                "teaching": {"weight": weight, "temperature": temperature, "top": top},
                "draft": draft,
            },
        )
        if not shares_tokens(*folders):
            say(ANSWERS_ALONE)
        refuse_taken(out)
        with whole_machine(report, stopped):
            run(options, *folders, dataset, out, report, stopped, targets=targets, force=force)
        print(f"{out}: {'a model' if options.kind == 'full' else 'an adapter'}.")
