"""`punie fuse`: an adapter becomes part of its model's weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from punie.cli.conversion import pass_conversion_gate
from punie.cli.help import run_typed
from punie.cli.steps import step


def main(arguments: Sequence[str]) -> int:
    """Run the command; exit codes: 0 done, 1 refused or failed, 2 wrong usage, 130 stopped."""
    return run_typed(fuse, arguments, "fuse")


def fuse(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model, as `punie models` has it.")],
    adapter: Annotated[
        Path, typer.Argument(metavar="ADAPTER", help="Folder that `punie train` wrote.")
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the new model goes.")],
    into_quantized: Annotated[
        bool,
        typer.Option(
            "--into-quantized",
            help="Round the sum to the levels of a quantised model; loses much of the adapter.",
        ),
    ] = False,
    dataset: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Run the conversion gate on these examples after it."),
    ] = None,
) -> None:
    """Fuse an adapter into its model, in full precision."""
    with step() as (report, stopped):
        from punie.models.catalog import read_json_object
        from punie.models.memory import gigabytes
        from punie.training.local_model import local_model
        from punie.training.process import prepare_process

        folder = local_model(model)
        prepare_process()
        from punie.training.fusing import FuseOptions, dequantized
        from punie.training.fusing import fuse as run

        options = FuseOptions(into_quantized=into_quantized)
        run(options, folder, adapter, out, report, stopped)
        size = sum(file.stat().st_size for file in out.glob("model*.safetensors"))
        print(f"{out}: {gigabytes(size)} of weights with the adapter in them.")
        if dequantized(options, read_json_object(folder / "config.json")):
            print(
                "The base was quantised, this model is not; `punie quantize` makes it small again."
            )
        if dataset is not None:
            pass_conversion_gate(folder, out, dataset, report, stopped, adapter=adapter)
