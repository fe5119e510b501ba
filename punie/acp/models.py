"""The models that this process has open, shared by its sessions and loaded in the background."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from punie.acp.heavy import import_turn
from punie.logs.setup import get_logger
from punie.models.catalog import BUNDLED_ID, ModelChoice, ModelUnavailable, resolve_model
from punie.models.options import EngineOptions

if TYPE_CHECKING:
    from punie.models.streaming import StreamingModel

Say = Callable[[str], Awaitable[None]]
"""Tells the person one line of progress."""

Loader = Callable[[ModelChoice, Say, EngineOptions], Awaitable["StreamingModel"]]
"""Opens a model; `punie.models.load.open_model` is the one, and its import takes seconds."""

LOADING = "Loading the model…"
_SILENT_SECONDS = 0.25
_log = get_logger(__name__)


@dataclass(eq=False)
class _Load:
    """One attempt to open a model."""

    done: anyio.Event = field(default_factory=anyio.Event)
    model: "StreamingModel | None" = None
    trouble: str = ""
    listeners: list[Say] = field(default_factory=list)

    async def say(self, text: str) -> None:
        for listener in list(self.listeners):
            await listener(text)


class ModelPool:
    """Opens each model once; a model that failed is tried again when it is next asked for."""

    def __init__(
        self,
        tasks: TaskGroup,
        options: EngineOptions,
        import_loader: Callable[[], "Loader"] | None = None,
    ) -> None:
        self._tasks = tasks
        self._options = options
        self._import_loader = import_loader or _import_loader
        self._loads: dict[str, _Load] = {}

    def begin(self, reference: str) -> None:
        """Start to open a model in the background."""
        self._load(reference)

    async def get(self, reference: str, say: Say) -> "StreamingModel":
        """Return the open model, telling the person while it takes time.

        Raises `ModelUnavailable` with one sentence and the cure.
        """
        load = self._load(reference)
        with anyio.move_on_after(_SILENT_SECONDS):
            await load.done.wait()
        if not load.done.is_set():
            await say(LOADING)
            load.listeners.append(say)
            try:
                await load.done.wait()
            finally:
                load.listeners.remove(say)
        if load.model is None:
            raise ModelUnavailable(load.trouble)
        return load.model

    async def forget(self, session_id: str) -> None:
        """Drop what models keep of a session that is deleted."""
        from punie.models.load import forget_session

        await forget_session(session_id, self._options)

    def _load(self, reference: str) -> _Load:
        load = self._loads.get(reference)
        if load is None or (load.done.is_set() and load.model is None):
            load = self._loads[reference] = _Load()
            self._tasks.start_soon(self._open, reference, load)
        return load

    async def _open(self, reference: str, load: _Load) -> None:
        try:
            open_model = await anyio.to_thread.run_sync(self._import_loader, abandon_on_cancel=True)
            choice = await anyio.to_thread.run_sync(resolve_model, reference)
            load.model = await open_model(choice, load.say, self._options)
        except ModelUnavailable as error:
            load.trouble = str(error)
        except Exception:
            _log.exception("opening a model failed", model=reference)
            load.trouble = (
                f"The model {reference} could not be loaded; choose another one, "
                "or see `punie logs` for the details."
            )
        finally:
            load.done.set()


def default_reference(settings_model: str | None) -> str:
    """Return the id of the configured model, or what was configured if it cannot be opened."""
    try:
        return resolve_model(settings_model).id
    except ModelUnavailable:
        return settings_model or BUNDLED_ID


def _import_loader() -> Loader:
    import_turn()
    from punie.models.load import open_model

    return open_model
