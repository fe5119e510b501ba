"""`punie dataset generate`: examples from teachers that do generated tasks with the real tools."""

from typing import Annotated

import typer

from punie.cli.dataset.arguments import Out, Weight, weights
from punie.cli.help import say


def generate(
    out: Out,
    preset: Annotated[str, typer.Option(metavar="NAME", help="What is mixed.")] = "coder",
    train: Annotated[int, typer.Option(min=0, help="Examples to learn from.")] = 2000,
    valid: Annotated[int, typer.Option(min=0, help="Examples to validate with.")] = 200,
    test: Annotated[int, typer.Option(min=0, help="Examples to test with.")] = 200,
    seed: Annotated[int, typer.Option(help="Where randomness begins.")] = 1,
    direct: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share answered without a tool; else the preset's."),
    ] = None,
    code: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share in code mode; else the preset's."),
    ] = None,
    weight: Weight = None,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Word requests as training never does.")
    ] = False,
    result_chars: Annotated[
        int | None, typer.Option(min=400, help="Characters of a tool result; else the preset's.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; else one for each processor.")
    ] = None,
) -> None:
    """Make a dataset by really executing tools in generated projects."""
    from punie.cli.steps import step
    from punie.training.generator.generate import GenerateOptions
    from punie.training.generator.generate import generate as make

    with step() as (report, stopped):
        options = GenerateOptions(
            preset=preset,
            train=train,
            valid=valid,
            test=test,
            seed=seed,
            direct=direct,
            code=code,
            weights=weights(weight),
            wording="held_out" if held_out else "known",
            result_chars=result_chars,
        )
        made = make(options, out, report, stopped, workers=workers)
    dropped = sum(made.manifest.recipe["dropped"].values())
    parts = ", ".join(f"{name} {part.examples:,}" for name, part in made.manifest.parts.items())
    say(f"{out}: {parts}; {dropped:,} dropped, because their check failed.")
