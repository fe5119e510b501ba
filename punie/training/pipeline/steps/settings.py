"""The user's own settings, for steps that need them."""

from punie.settings import Settings, SettingsError, load_settings
from punie.training.errors import TrainingError


def users_settings() -> Settings:
    """Return the settings that hold outside of projects.

    Raises:
        TrainingError: they cannot be read.
    """
    try:
        return load_settings()
    except SettingsError as error:
        raise TrainingError(str(error)) from None
