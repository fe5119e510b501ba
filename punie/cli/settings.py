"""The settings that a command runs with."""

from pathlib import Path
from typing import Any

import typer

from punie.cli.help import say
from punie.settings import Settings, SettingsError, load_settings


def settings_for(project: Path | None = None, **flags: Any) -> Settings:
    """Return the settings that hold; what is wrong is said, and the command ended with 2."""
    try:
        return load_settings(project, **flags)
    except SettingsError as error:
        say(str(error))
        raise typer.Exit(2) from None
