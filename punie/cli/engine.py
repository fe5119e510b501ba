"""Whether a command has a model of its own or uses the user's server."""

from punie.settings import Settings


def is_shared(settings: Settings) -> bool:
    """Judge by the settings and, where these leave it open, by the size of the model."""
    if settings.engine != "auto":
        return settings.engine == "shared"
    if settings.model is None:
        return False  # the usual start of `punie acp`, which the IDE waits for
    from punie.models.sharing import judge_sharing

    return judge_sharing(settings.model).shared
