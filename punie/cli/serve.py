"""`punie serve`: one agent in the background for all projects."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from punie.cli.help import run_typed, say
from punie.settings import SettingsError, load_settings


def main(arguments: Sequence[str]) -> int:
    """Run the command; exit codes: 0 stopped in order, 1 trouble, 2 wrong usage."""
    return run_typed(serve, arguments, "serve")


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 0,
    idle_minutes: Annotated[
        float | None, typer.Option(min=0, help="Minutes without a client that end it; 0 never.")
    ] = None,
    certificate: Annotated[Path | None, typer.Option(help="PEM file, for https.")] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file of the certificate's key.")] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File with a token of your own; else one is made.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="A name, a folder or a hub id.")] = None,
    mode: Annotated[str | None, typer.Option(help="ask, accept_edits, plan or auto.")] = None,
    state_dir: Annotated[Path | None, typer.Option(help="Folder of sessions and logs.")] = None,
) -> None:
    """Serve the agent to all projects of this user, over WebSocket and HTTP, until it is stopped.

    Clients need the token that stands in the state folder, which only you can read.
    """
    try:
        settings = load_settings(model=model, mode=mode, state_dir=state_dir)
    except SettingsError as error:
        say(str(error))
        raise typer.Exit(2) from None
    from punie.logs.setup import configure_logging
    from punie.server.run import CannotServe, ServeOptions
    from punie.server.run import serve as run_server

    configure_logging(settings.state_dir, settings.log_level, None, "serve")
    minutes = settings.server_idle_minutes if idle_minutes is None else idle_minutes
    try:
        options = ServeOptions(
            host=host,
            port=port,
            idle_seconds=minutes * 60 if minutes else None,
            certificate=certificate,
            key=key,
            token=None if token_file is None else _token_of(token_file),
        )
        code = run_server(settings, options, say)
    except CannotServe as error:
        say(str(error))
        code = 1
    raise typer.Exit(code)


def _token_of(path: Path) -> str:
    from punie.server.run import CannotServe

    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotServe(f"{path} cannot be read.") from error
    if len(token) < 16 or not token.isascii() or not token.isprintable() or " " in token:
        raise CannotServe(f"the token in {path} must have 16 characters or more, without spaces.")
    return token
