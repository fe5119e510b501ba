"""`punie draft`: small models that guess ahead for a large one, and what they are worth."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from punie.cli.help import run_group
from punie.cli.steps import step

_Target = Annotated[
    str, typer.Argument(metavar="TARGET", help="The model to draft for, as `punie models` has it.")
]
_Dataset = Annotated[
    Path, typer.Argument(metavar="DATASET", help="Folder that `punie dataset` wrote.")
]
_Length = Annotated[int, typer.Option(min=1, max=16, help="Tokens of each measured draft.")]
_Examples = Annotated[int, typer.Option(min=1, help="Conversations that are measured.")]
_Answer = Annotated[int, typer.Option("--answer-tokens", min=2, help="Longest answer.")]


def main(arguments: Sequence[str]) -> int:
    """Run the command; exit codes: 0 done, 1 it could not be done, 2 wrong usage, 130 stopped."""
    commands: dict[str, Callable[..., None]] = {"train": train, "measure": measure}
    return run_group(commands, arguments, "draft", "Make and measure draft models.")


def train(
    target: _Target,
    dataset: _Dataset,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the draft model goes.")],
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 6000,
    tokens: Annotated[int, typer.Option(min=64, help="Tokens of one step.")] = 2048,
    hidden: Annotated[int, typer.Option(min=8, help="Width of the model.")] = 128,
    layers: Annotated[int, typer.Option(min=1, help="Blocks of the model.")] = 2,
    heads: Annotated[int, typer.Option(min=1, help="Query heads of a block.")] = 4,
    key_value_heads: Annotated[int, typer.Option(min=1, help="Key and value heads.")] = 1,
    head_dim: Annotated[int, typer.Option(min=4, help="Width of a head.")] = 32,
    inner: Annotated[int, typer.Option(min=8, help="Width of the feed-forward part.")] = 320,
    weight: Annotated[
        float, typer.Option(min=0, max=1, help="How much the target's logits count.")
    ] = 0.5,
    temperature: Annotated[
        float, typer.Option(min=0.1, max=20, help="What distributions are softened by.")
    ] = 1.0,
    top: Annotated[int, typer.Option(min=1, help="Tokens that are told apart at a place.")] = 64,
    seed: Annotated[int, typer.Option(help="Of weights and order.")] = 1,
    length: _Length = 4,
    examples: _Examples = 50,
    answer_tokens: _Answer = 400,
) -> None:
    """Make a small draft model from nothing, taught by what its target answers.

    For a target whose vocabulary is small, such as the bundled model. The command goes on where it
    was stopped.
    """
    with step() as (report, stopped):
        from punie.cli.dataset.arguments import options_of
        from punie.training.local_model import local_model
        from punie.training.process import prepare_process

        folder = local_model(target)
        prepare_process(threads=1)
        from punie.training.distilling.draft import DraftOptions, make_draft
        from punie.training.output import refuse_taken
        from punie.training.waiting import whole_machine

        options = options_of(
            DraftOptions,
            {
                "model": {
                    "steps": steps,
                    "tokens": tokens,
                    "hidden": hidden,
                    "layers": layers,
                    "heads": heads,
                    "key_value_heads": key_value_heads,
                    "head_dim": head_dim,
                    "inner": inner,
                    "seed": seed,
                    "teaching": {"weight": weight, "temperature": temperature, "top": top},
                },
                "answers": {"tokens": answer_tokens},
                "measured": {"length": length, "examples": examples, "tokens": answer_tokens},
            },
        )
        refuse_taken(out)
        with whole_machine(report, stopped):
            found = make_draft(options, folder, dataset, out, report, stopped)
        print("\n".join(found.lines()))
        print(f"{out}: set draft_model to it to use it.")


def measure(
    target: _Target,
    draft: Annotated[str, typer.Argument(metavar="DRAFT", help="The draft model.")],
    dataset: _Dataset,
    length: _Length = 4,
    examples: _Examples = 50,
    answer_tokens: _Answer = 400,
    part: Annotated[
        str, typer.Option(metavar="NAME", help="Part of the dataset; test or valid if left out.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Tell what share of a draft model's tokens its target accepts."""
    with step() as (report, stopped):
        from punie.training.local_model import local_model
        from punie.training.process import prepare_process

        folders = local_model(target), local_model(draft)
        prepare_process()
        from punie.training.drafting import AcceptanceOptions, acceptance

        options = AcceptanceOptions(
            length=length, examples=examples, tokens=answer_tokens, part=part
        )
        found = acceptance(options, *folders, dataset, report, stopped)
        print(found.model_dump_json(indent=2) if as_json else "\n".join(found.lines()))
