"""`punie serve`: one agent in the background for all projects."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from punie.cli.help import run_typed, say
from punie.cli.settings import settings_for
from punie.server.record import server_folder


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
    hosts: Annotated[
        Path | None, typer.Option(help="JSON file of machines that share the model.")
    ] = None,
    print_unit: Annotated[
        Literal["systemd", "launchd"] | None,
        typer.Option(help="Print what starts this very server with your session, and end."),
    ] = None,
) -> None:
    """Serve the agent to all projects of this user, over WebSocket and HTTP, until it is stopped.

    Clients need the token that stands in the state folder, which only you can read.
    """
    settings = settings_for(model=model, mode=mode, state_dir=state_dir)
    if print_unit is not None:
        _print_unit(
            print_unit,
            settings.state_dir,
            {
                "host": host if host != "127.0.0.1" else None,
                "port": port or None,
                "idle-minutes": f"{idle_minutes or 0:g}",
                "certificate": certificate,
                "key": key,
                "token-file": token_file,
                "hosts": hosts and hosts.absolute(),
                "model": model,
                "mode": mode,
                "state-dir": state_dir and settings.state_dir,
            },
        )
        return
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
            hosts=hosts,
        )
        code = run_server(settings, options, say)
    except CannotServe as error:
        say(str(error))
        code = 1
    raise typer.Exit(code)


def _print_unit(
    kind: Literal["systemd", "launchd"], state_dir: Path, options: Mapping[str, object]
) -> None:
    """Print the unit; it does not end when nobody is there, unless that was asked for."""
    from punie.client.finding import punie_program
    from punie.server.units import launchd_plist, systemd_unit

    command = [*punie_program(), "serve"]
    for name, value in options.items():
        if value is not None:
            text = str(value.absolute()) if isinstance(value, Path) else str(value)
            command += [f"--{name}", text]
    chosen = os.environ.get("PUNIE_CONFIG_DIR")
    environment = {"PUNIE_CONFIG_DIR": chosen} if chosen else {}
    if kind == "systemd":
        print(systemd_unit(command, environment), end="")
    else:
        print(launchd_plist(command, environment, server_folder(state_dir) / "output"), end="")


def _token_of(path: Path) -> str:
    from punie.server.run import CannotServe

    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotServe(f"{path} cannot be read.") from error
    if len(token) < 16 or not token.isascii() or not token.isprintable() or " " in token:
        raise CannotServe(f"the token in {path} must have 16 characters or more, without spaces.")
    return token
