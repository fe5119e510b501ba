"""`punie quantize`: fewer bits for each weight of a model, and what that costs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from punie.cli.conversion import pass_conversion_gate
from punie.cli.help import run_typed
from punie.cli.steps import step


def main(arguments: Sequence[str]) -> int:
    """Run the command; exit codes: 0 done, 1 refused or failed, 2 wrong usage, 130 stopped."""
    return run_typed(quantize, arguments, "quantize")


def quantize(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model, as `punie models` has it.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where the new model goes.")
    ] = None,
    bits: Annotated[
        int | None, typer.Option(metavar="N", help="Bits per weight: 2, 3, 4, 5, 6 or 8.")
    ] = None,
    group_size: Annotated[
        int | None,
        typer.Option(metavar="N", help="Weights that share a scale: 32, 64 or 128."),
    ] = None,
    mode: Annotated[
        str, typer.Option(metavar="NAME", help="affine, mxfp4, mxfp8 or nvfp4.")
    ] = "affine",
    recipe: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="mixed_2_6, mixed_3_4, mixed_3_6 or mixed_4_6."),
    ] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LAYERS=BITS",
            help="Other bits for layers whose name matches, or 'keep' for all; may be repeated.",
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(metavar="NAME", help="plain, or dwq, awq, gptq, dynamic: learn from DATASET."),
    ] = "plain",
    calibration: Annotated[
        int, typer.Option(metavar="N", min=1, help="How many examples a method learns from.")
    ] = 256,
    learning_rate: Annotated[float, typer.Option(metavar="X", help="How fast dwq learns.")] = 1e-6,
    target_bits: Annotated[
        float, typer.Option(metavar="X", help="Bits per weight that dynamic comes to.")
    ] = 5.0,
    dataset: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Compare answers to these examples before and after, and run the conversion gate.",
        ),
    ] = None,
    examples: Annotated[
        int, typer.Option(metavar="N", min=1, help="How many examples are compared.")
    ] = 64,
    tasks: Annotated[
        int, typer.Option(metavar="N", min=0, help="Solve N held-out tasks before and after.")
    ] = 0,
    preset: Annotated[
        str, typer.Option(metavar="NAME", help="The generator's mix of those tasks.")
    ] = "tiny",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how big it will be; needs config.json.")
    ] = False,
) -> None:
    """Quantise a model, and measure what it costs."""
    if out is None and not dry_run:
        raise typer.BadParameter("name the folder of the new model with --out.")
    with step() as (report, stopped):
        from punie.training.process import prepare_process

        prepare_process()
        options = _options(
            bits=bits,
            group_size=group_size,
            mode=mode,
            recipe=recipe,
            rules=[_rule(text) for text in rule or ()],
            method=method,
            calibration=calibration,
            learning_rate=learning_rate,
            target_bits=target_bits,
            examples=examples,
            tasks=tasks,
            preset=preset,
        )
        from punie.training.local_model import local_model

        if out is None or dry_run:
            only_described = (Path(model) / "config.json").is_file()
            _show_estimate(options, Path(model) if only_described else local_model(model))
            return
        from punie.training.quantizing.report import read_report
        from punie.training.quantizing.run import quantize as run

        folder = local_model(model)
        run(options, folder, dataset, out, report, stopped)
        found = read_report(out)
        assert found is not None
        _show_table(found.rows())
        if found.left_out:
            print(f"Left as they were, their width being no multiple: {', '.join(found.left_out)}")
        if dataset is not None:
            pass_conversion_gate(folder, out, dataset, report, stopped)


def _options(**given: Any) -> Any:
    from punie.training.quantizing.options import QuantizeOptions

    try:
        return QuantizeOptions.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = "-".join(str(part) for part in first["loc"][:1]).replace("_", "-")
        raise typer.BadParameter(f"--{name}: {first['msg']} (given: {first['input']}).") from None


def _rule(text: str) -> dict[str, Any]:
    layers, equals, bits = text.rpartition("=")
    if not equals:
        raise typer.BadParameter(f"{text!r} has no '='; write LAYERS=BITS or LAYERS=keep.")
    if bits == "keep":
        return {"layers": layers, "bits": None}
    if not bits.isdigit():
        raise typer.BadParameter(f"{bits!r} is no number of bits; write a number or keep.")
    return {"layers": layers, "bits": int(bits)}


def _show_estimate(options: Any, folder: Path) -> None:
    from punie.models.catalog import read_json_object
    from punie.models.memory import gigabytes
    from punie.training.quantizing.estimate import estimate_conversion

    found = estimate_conversion(options, read_json_object(folder / "config.json"))
    _show_table(
        [
            ("parameters", f"{found.parameters:,}", ""),
            ("weights", gigabytes(found.before), gigabytes(found.after)),
            ("bits per weight", "", f"{found.bits_per_weight:.3f}"),
            ("memory while it is done", "", gigabytes(found.memory)),
        ]
    )


def _show_table(rows: Sequence[tuple[str, str, str]]) -> None:
    for name, before, after in [("", "before", "after"), *rows]:
        print(f"{name:24}{before:>18}{after:>18}".rstrip())
