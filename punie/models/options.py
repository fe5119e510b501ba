"""How a model is run, as the user's settings say."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from punie.models.endpoint import Endpoint

if TYPE_CHECKING:
    from punie.models.sharding.machines import Machines

_GB = 10**9
_PREFIX_FOLDER = "prefixes"
_HOLDINGS_FOLDER = "models-in-memory"


@dataclass(frozen=True)
class EngineOptions:
    """What bounds an engine; None leaves a bound to the machine.

    `memory_limit` is what MLX may hold, `prefix_bytes` what may lie on disk in `prefix_directory`;
    without a directory nothing is saved. After `idle_seconds` without a request the weights are
    released. `draft_model` is a reference of a small model with the same tokens, `endpoint` the
    server of models that run elsewhere, `machines` what shares one of the models with this machine.
    In `holdings_directory` processes tell each other which models they hold.
    """

    memory_limit: int | None = None
    prefix_directory: Path | None = None
    prefix_bytes: int = 0
    idle_seconds: float | None = None
    draft_model: str | None = None
    endpoint: Endpoint | None = None
    machines: "Machines | None" = None
    holdings_directory: Path | None = None


class _EngineSettings(Protocol):
    """The user's settings that an engine needs."""

    @property
    def state_dir(self) -> Path: ...
    @property
    def draft_model(self) -> str | None: ...
    @property
    def memory_gb(self) -> float | None: ...
    @property
    def idle_minutes(self) -> float: ...
    @property
    def prefix_cache_gb(self) -> float: ...
    @property
    def openai_url(self) -> str | None: ...
    @property
    def openai_key_file(self) -> Path | None: ...
    @property
    def openai_context(self) -> int | None: ...


def engine_options(settings: _EngineSettings) -> EngineOptions:
    """Return what the settings say about running models."""
    return EngineOptions(
        memory_limit=None if settings.memory_gb is None else int(settings.memory_gb * _GB),
        prefix_directory=settings.state_dir / _PREFIX_FOLDER if settings.prefix_cache_gb else None,
        prefix_bytes=int(settings.prefix_cache_gb * _GB),
        idle_seconds=settings.idle_minutes * 60 if settings.idle_minutes else None,
        draft_model=settings.draft_model,
        endpoint=endpoint_of(settings),
        holdings_directory=settings.state_dir / _HOLDINGS_FOLDER,
    )


def endpoint_of(settings: _EngineSettings) -> Endpoint | None:
    """Return the server that the settings name, if they name one."""
    if settings.openai_url is None:
        return None
    return Endpoint(settings.openai_url, settings.openai_key_file, settings.openai_context)
