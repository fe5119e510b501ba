"""`punie dataset validate`: whether every line of a dataset can be learned from."""

import json
from typing import Annotated

import typer

from punie.cli.dataset.arguments import DatasetFolder, Json
from punie.cli.help import say
from punie.tools.wording import count


def validate(
    dataset: DatasetFolder,
    most: Annotated[int, typer.Option(min=1, help="Faults to tell at most.")] = 100,
    as_json: Json = False,
) -> None:
    """Check every line of a dataset.

    Form, roles, calls against their tools, hashes; exit code 1 if something is wrong.
    """
    from punie.cli.steps import step
    from punie.training.data.dataset import open_dataset
    from punie.training.data.validation import validate_dataset

    with step() as (report, stopped):
        found = validate_dataset(open_dataset(dataset), most, report, stopped)
    if as_json:
        faults = [
            {"file": str(fault.file), "line": fault.line, "what": fault.what}
            for fault in found.faults
        ]
        counts = {"examples": found.examples, "fault_count": found.fault_count}
        print(json.dumps({"valid": found.valid, **counts, "faults": faults}, indent=2))
    else:
        for fault in found.faults:
            print(fault)
    if not found.valid:
        untold = found.fault_count - len(found.faults)
        say(
            f"{count(found.fault_count, 'fault')}"
            + (f", {untold} of them not told." if untold else ".")
        )
        raise typer.Exit(1)
    if not as_json:
        print(f"{count(found.examples, 'example')}, no fault.")
