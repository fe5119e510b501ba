"""The models that the user's server offers, for the list in the IDE."""

import anyio
import anyio.to_thread

from punie.models.catalog import ENDPOINT_PREFIX, ModelChoice, ModelUnavailable, resolve_model
from punie.models.endpoint import Endpoint

_SECONDS = 1.0
"""What opening a session may wait for the server; one that is silent offers nothing."""
_KEPT_SECONDS = 60.0


class ServedModels:
    """Asks the server at most once a minute; without one there is nothing to offer."""

    def __init__(self, endpoint: Endpoint | None) -> None:
        self._endpoint = endpoint
        self._choices: tuple[ModelChoice, ...] = ()
        self._asked: float | None = None

    async def choices(self) -> tuple[ModelChoice, ...]:
        """Return what the server has, as far as it tells in a second."""
        if self._endpoint is None:
            return ()
        now = anyio.current_time()
        if self._asked is None or now - self._asked > _KEPT_SECONDS:
            self._asked = now
            with anyio.move_on_after(_SECONDS):
                self._choices = await anyio.to_thread.run_sync(
                    _ask, self._endpoint, abandon_on_cancel=True
                )
        return self._choices


def _ask(endpoint: Endpoint) -> tuple[ModelChoice, ...]:
    # Not at the top: it is for those who have a server.
    from punie.models.served import served_models

    try:
        found = served_models(endpoint, _SECONDS)
    except ModelUnavailable:
        return ()  # The first turn says it.
    return tuple(resolve_model(ENDPOINT_PREFIX + model.name) for model in found or ())
