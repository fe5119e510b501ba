"""`punie gate`: whether what one step of training made is good enough for the next one."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    commands: dict[str, Callable[..., None]] = {"zero": zero}
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
