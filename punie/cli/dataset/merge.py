"""`punie dataset merge`: several datasets as one."""

from pathlib import Path
from typing import Annotated

import typer

from punie.cli.dataset.arguments import Out, options_of
from punie.tools.wording import count


def merge(
    datasets: Annotated[
        list[Path],
        typer.Argument(metavar="DATASET...", help="Folders of datasets.", show_default=False),
    ],
    out: Out,
    weight: Annotated[
        list[float] | None,
        typer.Option(help="How often examples count; once for each dataset, in order."),
    ] = None,
    limit: Annotated[
        list[int] | None,
        typer.Option(min=0, help="Most examples of a part; once for each dataset; 0: all."),
    ] = None,
    duplicates: Annotated[
        str, typer.Option(metavar="HOW", help="drop: the first stays; keep: all stay.")
    ] = "drop",
    as_one: Annotated[
        bool, typer.Option("--as-one", help="All in one part, to be split afterwards.")
    ] = False,
    unsplit: Annotated[
        str, typer.Option(metavar="PART", help="Where datasets that are not split go, as train.")
    ] = "",
    seed: Annotated[int, typer.Option(help="Which examples are drawn.")] = 1,
) -> None:
    """Put datasets together.

    Equal examples are there once, each dataset with as much as is wanted.
    """
    from punie.cli.steps import step
    from punie.training.data.merging import MergeOptions, merge_datasets

    given: dict[str, object] = {
        "limits": [each or None for each in limit or ()],
        "weights": weight or (),
        "duplicates": duplicates,
        "as_one": as_one,
        "unsplit": unsplit,
        "seed": seed,
    }
    options = options_of(MergeOptions, given)
    with step() as (report, stopped):
        written = merge_datasets(options, datasets, out, report, stopped)
    for name, part in written.manifest.parts.items():
        print(f"{name}: {count(part.examples, 'example')}")
