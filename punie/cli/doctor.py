"""`punie doctor`: what would stop Punie from working, one line each with the cure."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from punie.cli.checks import CHECKS, Finding, Subject, check_model_opens, run_check
from punie.cli.help import run_typed, say
from punie.settings import Settings, SettingsError, load_settings

_MARKS = {"ok": ("ok", "green"), "warning": ("!", "yellow"), "failure": ("no", "red")}


def main(arguments: Sequence[str]) -> int:
    """Run the command; exit codes: 0 nothing stops Punie, 1 something does, 2 wrong usage."""
    return run_typed(doctor, arguments, "doctor")


def doctor(
    model: Annotated[
        str | None, typer.Option(help="Model to check instead of the set one.")
    ] = None,
    load: Annotated[
        bool, typer.Option("--load", help="Really load the model, which may take long.")
    ] = False,
    state_dir: Annotated[Path | None, typer.Option(help="Folder of sessions and logs.")] = None,
) -> None:
    """Check what would stop Punie from working; each line that is not ok names the cure."""
    worst_is_failure = False
    try:
        settings = load_settings(Path.cwd(), model=model, state_dir=state_dir)
        _show(Finding("ok", "settings", "can be read"))
    except SettingsError as error:
        _show(Finding("failure", "settings", str(error), "correct it there"))
        worst_is_failure = True
        settings = Settings()
    subject = Subject(settings, Path.home())
    checks = [*CHECKS, check_model_opens] if load else CHECKS
    for check in checks:
        for finding in run_check(check, subject):
            _show(finding)
            worst_is_failure = worst_is_failure or finding.status == "failure"
    if worst_is_failure:
        say("something above keeps Punie from working.")
        raise typer.Exit(1)


def _show(finding: Finding) -> None:
    mark, colour = _MARKS[finding.status]
    mark = f"{mark:<2}"
    if sys.stdout.isatty():
        mark = typer.style(mark, fg=colour, bold=True)
    cure = f" → {finding.cure}" if finding.cure else ""
    print(f"{mark} {finding.subject}: {finding.text}{cure}", flush=True)
