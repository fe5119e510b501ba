"""`punie study`: experiments on the bundled model, each with a page of what it found."""

import json
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from punie.cli.help import run_typed, say
from punie.cli.steps import step


def main(arguments: Sequence[str]) -> int:
    """Run the command; exit codes: 0 done, 1 it could not be done, 2 wrong usage, 130 stopped."""
    return run_typed(study, arguments, "study")


def study(
    name: Annotated[
        str | None, typer.Argument(metavar="STUDY", help="Which one; without it they are listed.")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", help="Where page, pictures and data are written.")
    ] = Path("docs/results"),
    store: Annotated[
        str | None, typer.Option("--store", help="Where steps are kept, as of pipelines.")
    ] = None,
    small: Annotated[
        bool, typer.Option("--small", help="Far fewer tasks and steps: only to see it work.")
    ] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Another option.")
    ] = None,
) -> None:
    """Run an experiment on the bundled model and write a page of what it found."""
    from punie.training.pipeline.pipeline import open_store
    from punie.training.pipeline.recipe import setting
    from punie.training.studies.catalog import STUDIES
    from punie.training.studies.study import run_study, write_results

    if name is None:
        for one in STUDIES.values():
            print(f"{one.name}\n    {one.question}")
        return
    if name not in STUDIES:
        say(f"there is no study {name!r}; there are {', '.join(STUDIES)}.")
        raise typer.Exit(2)
    chosen = STUDIES[name]
    with step() as (report, stopped):
        values: dict[str, Any] = deepcopy(dict(chosen.small)) if small else {}
        for key, value in map(setting, settings or []):
            _set(values, key.split("."), value)
        try:
            options = chosen.options.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            say(f"{'.'.join(map(str, first['loc']))}: {first['msg']}.")
            raise typer.Exit(2) from None
        found = run_study(chosen, options, open_store(None, store), report, stopped)
        out.mkdir(parents=True, exist_ok=True)
        page = write_results(chosen, found, out)
    print(json.dumps(found["summary"], indent=2, ensure_ascii=False))
    print(f"{page} tells it whole.")


def _set(values: dict[str, Any], path: Sequence[str], value: object) -> None:
    """Set an option, or with a path of two names one of a group of options."""
    *groups, name = path
    for group in groups:
        below = values.get(group)
        below = below if isinstance(below, dict) else {}
        values[group] = below
        values = below
    values[name] = value
