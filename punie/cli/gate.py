"""`punie gate`: whether what one step of training made is good enough for the next one."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from punie.cli.dataset.arguments import DatasetFolder, Model, options_of
from punie.cli.help import run_group
from punie.cli.steps import step
from punie.models.catalog import BUNDLED_ID, bundled_directory, resolve_model

if TYPE_CHECKING:
    from punie.training.gates.report import GateReport

_Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="A model's folder, organisation/name or punie-tiny.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


def main(arguments: Sequence[str]) -> int:
    """Run the command; exit codes: 0 passed, 1 failed, 2 wrong usage, 130 stopped."""
    commands: dict[str, Callable[..., None]] = {"zero": zero, "data": data}
    summary = "Check what one step of training made before the next one starts."
    return run_group(commands, arguments, "gate", summary)


def zero(model: _Model, as_json: _Json = False) -> None:
    """Check a model's config, tokenizer and chat template; needs no weights."""
    with step():
        from punie.training.gates.zero import gate_zero

        folder = _folder(model)
        report = gate_zero(folder)
        _keep(folder, report)
    _tell(report, as_json)


def data(
    dataset: DatasetFolder,
    model: Model = None,
    direct: Annotated[
        str, typer.Option(metavar="LEAST-MOST", help="Share of direct answers, in per cent.")
    ] = "20-40",
    most_of_one_tool: Annotated[
        float, typer.Option(help="Share of the calls that one tool may have.")
    ] = 0.6,
    most_leaks: Annotated[
        int, typer.Option(min=0, help="Examples that other parts may give away.")
    ] = 0,
    most_unexecuted: Annotated[
        int, typer.Option(min=0, help="Examples whose results no tool returned.")
    ] = 0,
    window: Annotated[
        int | None, typer.Option(min=1, help="Tokens an example may have; else the model's window.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Check a dataset: form, balance, leaks between parts, results, lengths for a model."""
    with step() as (show, stopped):
        from punie.models.architecture import context_window
        from punie.models.catalog import read_json_object
        from punie.models.mlx.chat_format import ChatFormat
        from punie.training.gates.data import DataLimits, data_gate

        least, _, most = direct.partition("-")
        limits = options_of(
            DataLimits,
            {
                "least_direct": _per_cent(least),
                "most_direct": _per_cent(most),
                "most_of_one_tool": most_of_one_tool,
                "most_leaks": most_leaks,
                "most_unexecuted": most_unexecuted,
                "window": window,
            },
        )
        folder = None if model is None else _folder(model)
        chat_format = None if folder is None else ChatFormat.load(folder)
        room = None if folder is None else context_window(read_json_object(folder / "config.json"))
        report = data_gate(dataset, limits, chat_format, room, show, stopped)
    _tell(report, as_json)


def _per_cent(text: str) -> float:
    try:
        return float(text) / 100
    except ValueError:
        raise typer.BadParameter("--direct wants two numbers, such as 20-40.") from None


def _folder(reference: str) -> Path:
    """Return where a model lies, with or without its weights; raise `ModelUnavailable`."""
    if reference == BUNDLED_ID:
        return bundled_directory()
    folder = Path(reference).expanduser()
    if folder.is_dir():
        return folder.resolve()
    path = resolve_model(reference).path
    return folder if path is None else path


def _keep(folder: Path, report: "GateReport") -> None:
    """Keep the report in a model's folder, but in none that others look after."""
    from punie.models.provenance import read_provenance
    from punie.training.provenance import record_gate

    if read_provenance(folder) is not None:
        record_gate(folder, report)


def _tell(report: "GateReport", as_json: bool) -> None:
    print(report.model_dump_json(indent=2) if as_json else "\n".join(report.lines()))
    if not report.passed:
        raise typer.Exit(1)
