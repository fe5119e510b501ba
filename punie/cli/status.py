"""`punie status`: whether the user's server runs, where, and for whom."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from punie.cli.help import run_typed, say
from punie.cli.settings import settings_for
from punie.client.control import clear_stale_record, server_status
from punie.server.record import page_address, read_token, token_file

NOT_RUNNING = 3
"""Exit code, as service managers use it."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; exit codes: 0 running, 1 no answer, 2 wrong usage, 3 not running."""
    return run_typed(status, arguments, "status")


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    state_dir: Annotated[Path | None, typer.Option(help="Folder of sessions and logs.")] = None,
) -> None:
    """Tell whether the server runs: its address, clients, sessions and turns."""
    folder = settings_for(state_dir=state_dir).state_dir
    found = server_status(folder)
    if found is None:
        stale = clear_stale_record(folder)
        if stale is not None:
            say(f"the record of a server that is gone (process {stale.pid}) was removed.")
        print(json.dumps({"running": False}) if as_json else "The server is not running.")
        raise typer.Exit(NOT_RUNNING)
    record, numbers = found.record, found.numbers
    facts = {
        "running": True,
        "answers": numbers is not None,
        "url": record.url,
        "pid": record.pid,
        "version": record.version,
        **(numbers or {}),
        "token_file": str(token_file(folder)),
    }
    if as_json:
        print(json.dumps(facts))
    else:
        _show(facts)
        token = read_token(folder)
        if token is not None:
            print(f"page: {page_address(record.url, token)}")
    if numbers is None:
        say(f"the server (process {record.pid}) does not answer; `punie stop` ends it.")
        raise typer.Exit(1)


def _show(facts: dict[str, Any]) -> None:
    print(f"The server runs at {facts['url']} (process {facts['pid']}, Punie {facts['version']}).")
    if facts["answers"]:
        print(f"up for {_duration(facts['uptime_seconds'])}")
        counts = (
            (facts["clients"], "client"),
            (facts["sessions"], "session"),
            (facts["turns"], "turn"),
        )
        print(", ".join(f"{count} {name}{'' if count == 1 else 's'}" for count, name in counts))
    print(f"token: {facts['token_file']}")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
