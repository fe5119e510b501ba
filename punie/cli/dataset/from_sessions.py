"""`punie dataset from-sessions`: the user's own accepted turns as a dataset."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from punie.cli.dataset.arguments import Out

Include = Annotated[
    list[Path] | None,
    typer.Option("--project", help="Only sessions in this folder; may be given more than once."),
]
Exclude = Annotated[
    list[Path] | None, typer.Option("--without-project", help="No sessions in this folder.")
]
Since = Annotated[
    datetime | None, typer.Option("--since", help="Only sessions used since then (a date).")
]
Least = Annotated[
    int, typer.Option("--least-characters", min=1, help="What the model has to have said at least.")
]
KeptOnly = Annotated[
    bool, typer.Option("--kept-only", help="Only changes of files that were kept for certain.")
]
StateDir = Annotated[Path | None, typer.Option("--state-dir", help="Folder of sessions and logs.")]


def from_sessions(
    out: Out,
    project: Include = None,
    without_project: Exclude = None,
    since: Since = None,
    least_characters: Least = 1,
    kept_only: KeptOnly = False,
    state_dir: StateDir = None,
) -> None:
    """Take accepted turns from your own sessions, secrets masked, if your settings allow it."""
    from punie.cli.settings import settings_for
    from punie.cli.steps import step
    from punie.tools.wording import count
    from punie.training.data.from_sessions import FromSessionsOptions, from_sessions

    settings = settings_for(state_dir=state_dir)
    options = FromSessionsOptions(
        include=tuple(map(_whole, project or ())),
        exclude=tuple(map(_whole, without_project or ())),
        since=since,
        least_characters=least_characters,
        kept_only=kept_only,
    )
    with step() as (report, stopped):
        dataset = from_sessions(options, settings, out, report, stopped)
    (part,) = dataset.manifest.parts.values()
    print(f"{count(part.examples, 'example')} in {out}")
    for reason, number in dataset.manifest.recipe["dropped"].items():
        print(f"  left out, {reason}: {number}")


def _whole(folder: Path) -> Path:
    # As the session store has it: absolute, links kept.
    return folder.expanduser().absolute()
