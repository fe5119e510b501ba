"""`punie logs`: show the log, newest first, or follow it."""

import os
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from punie.cli.help import run_typed, say
from punie.logs.lines import render
from punie.logs.reader import LogFilter, LogReader, LogRecord, parse_since
from punie.logs.rotation import log_file
from punie.logs.setup import LEVELS
from punie.settings import SettingsError, load_settings


def main(arguments: Sequence[str]) -> int:
    """Run the command; exit codes: 0 shown (or nothing to show), 2 wrong usage."""
    return run_typed(logs, arguments, "logs")


def logs(
    number: Annotated[int, typer.Option("-n", min=0, help="Lines to show; 0 shows all.")] = 50,
    follow: Annotated[bool, typer.Option("-f", help="Go on as the log grows.")] = False,
    session: Annotated[str | None, typer.Option(help="Beginning of a session id.")] = None,
    project: Annotated[str | None, typer.Option(help="Folder of a project, or its name.")] = None,
    level: Annotated[
        str | None, typer.Option(help="Lowest level: debug, info, warning or error.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="10m, 2h, 3d or an ISO time.")] = None,
    grep: Annotated[
        str | None, typer.Option(help="Regular expression; upper and lower case are the same.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the lines as they are.")] = False,
    state_dir: Annotated[Path | None, typer.Option(help="Folder of sessions and logs.")] = None,
) -> None:
    """Show the log, newest first, or follow it (then the newest is last)."""
    try:
        settings = load_settings(state_dir=state_dir)
        wanted = _filter(session, project, level, since, grep)
    except (SettingsError, ValueError) as error:
        say(str(error))
        raise typer.Exit(2) from None
    path = log_file(settings.state_dir)
    reader = LogReader(path)
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    if not follow and not reader.exists():
        say(f"nothing has been logged yet; the log will be {path}.")
        return
    records: Iterable[LogRecord]
    if follow:
        records = reader.follow(wanted, number or sys.maxsize)
    else:
        records = reader.newest_first(wanted, number or None)
    try:
        for record in records:
            print(record.line if as_json else render(record, colour=colour), flush=follow)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except PermissionError as error:
        say(f"{error.filename} cannot be read: {error.strerror}.")
        raise typer.Exit(1) from None
    finally:
        if reader.broken:
            say(f"lines skipped because they are no log records: {reader.broken}.")


def _filter(
    session: str | None, project: str | None, level: str | None, since: str | None, grep: str | None
) -> LogFilter:
    if level is not None and level.upper() not in LEVELS:
        raise ValueError(f"{level!r} is no level; there are debug, info, warning and error.")
    try:
        pattern = None if grep is None else re.compile(grep, re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"{grep!r} is no regular expression: {error}.") from None
    moment = None if since is None else parse_since(since, datetime.now().astimezone())
    return LogFilter(session, project, level and level.upper(), moment, pattern)
