"""`punie init`: make Punie known to the JetBrains IDEs."""

import os
import shutil
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from punie.cli.help import run_typed, say
from punie.cli.jetbrains import (
    NAME,
    JetBrainsConfigError,
    config_path,
    difference,
    is_transient,
    read_config,
    render,
    with_punie,
    without_punie,
    write_config,
)


def main(arguments: Sequence[str]) -> int:
    """Run the command; exit codes: 0 done or nothing to do, 1 refused, 2 wrong usage."""
    return run_typed(init, arguments, "init")


def init(
    model: Annotated[str | None, typer.Option(help="Model that the IDE starts Punie with.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would change.")
    ] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take Punie out again.")] = False,
) -> None:
    """Put Punie into ~/.jetbrains/acp.json, where every JetBrains IDE finds it."""
    if remove and model is not None:
        say("--remove and --model exclude each other.")
        raise typer.Exit(2)
    try:
        command = installed_command()
        file = read_config(config_path(Path.home()))
        if remove:
            content = without_punie(file.content)
        else:
            content = with_punie(
                file.content,
                command=command,
                login_path=os.environ.get("PATH", ""),
                model=model,
            )
        if content == file.content:
            print(f"{file.path} needs no change.")
            return
        text = render(content, file.text)
        if dry_run:
            print(difference(file, text), end="")
            return
        backup = write_config(file, text, datetime.now())  # noqa: DTZ005  (a name for a person)
    except JetBrainsConfigError as error:
        say(str(error))
        raise typer.Exit(1) from None
    if backup is not None:
        print(f"The file as it was is kept as {backup}.")
    if remove:
        print(f"{NAME} is out of {file.path}. Restart the IDE.")
        return
    print(f"{NAME} is in {file.path}, started as {command} acp.")
    if is_transient(command) or is_transient(command.resolve()):
        say(
            f"{command} is in a temporary environment that may be deleted; install Punie for good "
            "(uv tool install punie) and run `punie init` from there."
        )
    print(f"Now restart the IDE, open the AI Chat and choose {NAME} in its list of agents.")
    print("The AI Assistant plugin must be installed; a JetBrains AI subscription is not needed.")


def installed_command() -> Path:
    """Return the absolute path of the `punie` that is running, not following links.

    Raises `JetBrainsConfigError` when there is none, as in `python -m`.
    """
    beside_python = Path(sys.executable).absolute().parent / "punie"
    started_as = Path(sys.argv[0])
    if started_as.name == "punie" and started_as.is_absolute() and started_as.is_file():
        return started_as
    if os.sep not in sys.argv[0]:
        found = shutil.which(sys.argv[0])
        if found is not None and Path(found).name == "punie":
            return Path(found).absolute()
    elif started_as.name == "punie" and started_as.is_file():
        return Path(os.path.normpath(started_as.absolute()))
    if beside_python.is_file():
        return beside_python
    raise JetBrainsConfigError(
        f"there is no punie command beside {sys.executable}; install Punie with pip or uv first."
    )
