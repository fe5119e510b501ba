"""`punie stop`: ends the user's server, and nothing else."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from punie.cli.help import run_typed, say
from punie.cli.settings import settings_for
from punie.client.control import CannotStop, clear_stale_record, stop_server


def main(arguments: Sequence[str]) -> int:
    """Run the command; exit codes: 0 no server runs any more, 1 one does, 2 wrong usage."""
    return run_typed(stop, arguments, "stop")


def stop(
    state_dir: Annotated[Path | None, typer.Option(help="Folder of sessions and logs.")] = None,
) -> None:
    """Stop the server; turns that run are cancelled, and nothing of their sessions is lost."""
    folder = settings_for(state_dir=state_dir).state_dir
    try:
        stopped = stop_server(folder)
    except CannotStop as error:
        say(str(error))
        raise typer.Exit(1) from None
    except PermissionError:
        say("the server belongs to another user.")
        raise typer.Exit(1) from None
    if stopped is not None:
        print(f"The server (process {stopped.pid}) has stopped.")
        return
    stale = clear_stale_record(folder)
    if stale is not None:
        print(
            f"The server (process {stale.pid}) was gone already; the record that it left was "
            "removed."
        )
    else:
        print("The server is not running.")
