"""The conversion gate as it ends `punie fuse` and `punie quantize`."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from punie.training.progress import Reporter, Stopped


def pass_conversion_gate(
    before: Path,
    after: Path,
    dataset: Path,
    report: "Reporter",
    stopped: "Stopped",
    *,
    adapter: Path | None = None,
) -> None:
    """Run the gate, keep its report in the new model's folder, and end with code 1 if it failed."""
    from punie.training.gates.conversion import conversion_gate
    from punie.training.provenance import record_gate

    found = conversion_gate(before, after, dataset, None, report, stopped, adapter=adapter)
    record_gate(after, found)
    print("\n".join(found.lines()))
    if not found.passed:
        raise typer.Exit(1)
