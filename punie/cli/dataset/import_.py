"""`punie dataset import`: conversations that others wrote."""

from pathlib import Path
from typing import Annotated

import typer

from punie.cli.dataset.arguments import Out
from punie.cli.terminal import printable
from punie.tools.wording import count


def import_(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="JSON lines.", show_default=False)
    ],
    out: Out,
    task: Annotated[str, typer.Option(help="Kind of task, where a line does not tell.")] = "",
    project: Annotated[str, typer.Option(help="Project, where a line does not tell.")] = "",
    executed: Annotated[
        bool, typer.Option("--executed", help="Say that the results come from tools that ran.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out lines that cannot be brought in.")
    ] = False,
) -> None:
    """Bring in what others wrote.

    JSON lines of chat messages with tools, as OpenAI and mlx-lm have them.
    """
    from punie.cli.steps import step
    from punie.training.data.importing import ImportOptions, UnsoundLinesError, import_dataset

    options = ImportOptions(task=task, project=project, executed=executed, skip_bad=skip_bad)
    with step() as (report, stopped):
        try:
            written = import_dataset(options, files, out, report, stopped)
        except UnsoundLinesError as error:
            for fault in error.faults:
                print(printable(str(fault)))
            raise
    for name, part in written.manifest.parts.items():
        print(f"{name}: {count(part.examples, 'example')}")
