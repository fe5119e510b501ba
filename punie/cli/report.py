"""`punie report`: the page of a run again, or against another run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from punie.cli.help import run_typed, say


def main(arguments: Sequence[str]) -> int:
    """Run the command; exit codes: 0 written, 1 it could not be written, 2 wrong usage."""
    return run_typed(report, arguments, "report")


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run of punie eval.")],
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="RUN", help="Another run, to tell what changed since."),
    ] = None,
) -> None:
    """Write the page of a run, which opens offline."""
    from punie.evaluation.errors import EvaluationError
    from punie.evaluation.report.writing import write_report

    try:
        page = write_report(run, against)
    except EvaluationError as error:
        say(str(error))
        raise typer.Exit(1) from None
    print(page)
