"""`punie dataset split`: parts that have nothing in common."""

from typing import Annotated

import typer

from punie.cli.dataset.arguments import DatasetFolder, Out, options_of
from punie.tools.wording import count


def split(
    dataset: DatasetFolder,
    out: Out,
    share: Annotated[
        list[str] | None,
        typer.Option(metavar="PART=SHARE", help="Such as train=0.9; once for each part."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Which of the many ways to deal them out.")] = 1,
    near: Annotated[
        float, typer.Option(help="Likeness from which conversations are near duplicates.")
    ] = 0.8,
    shared: Annotated[
        str,
        typer.Option(
            metavar="HOW", help="together: what shares a query stays in one part; drop: left out."
        ),
    ] = "together",
    most_leaks: Annotated[
        int, typer.Option(min=0, help="Examples that other parts may give away.")
    ] = 0,
) -> None:
    """Split into parts that share nothing.

    By project and query; what leaks between the parts is measured and refused.
    """
    from punie.cli.steps import step
    from punie.training.data.splitting import SplitOptions, split_dataset

    given: dict[str, object] = {
        "seed": seed,
        "near": near,
        "shared": shared,
        "most_leaks": most_leaks,
    }
    if share:
        given["shares"] = dict(map(_share, share))
    options = options_of(SplitOptions, given)
    with step() as (report, stopped):
        written = split_dataset(options, dataset, out, report, stopped)
    for name, part in written.manifest.parts.items():
        print(f"{name}: {count(part.examples, 'example')}")


def _share(text: str) -> tuple[str, float]:
    name, _, share = text.partition("=")
    try:
        return name, float(share)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not PART=SHARE, such as train=0.9.") from None
