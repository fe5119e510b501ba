"""Opening a model. Light to import: the heavy parts load inside, off the event loop."""

import importlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

import anyio
import anyio.to_thread

from punie.models.catalog import ModelChoice, ModelUnavailable
from punie.models.checking import check_model

if TYPE_CHECKING:
    from pydantic_ai.models import Model

    from punie.models.mlx.chat_format import ChatFormat
    from punie.models.mlx.engine import Engine

Progress = Callable[[str], Awaitable[None]]
"""Receives short sentences for the person who waits."""


class _OpenModels:
    """The models that this process holds in memory; weights are too big to hold them twice."""

    def __init__(self) -> None:
        self.lock = anyio.Lock()
        self.engines: dict[Path, tuple[Engine, ChatFormat]] = {}


_open_models = _OpenModels()


async def open_model(choice: ModelChoice, on_progress: Progress | None = None) -> "Model":
    """Open a model for use; one that is open already is shared, with its caches.

    Raises `ModelUnavailable`.
    """
    if choice.path is None:
        raise ModelUnavailable(f"The model {choice.id} has no files here; choose another one.")
    match choice.source:
        case "scripted":
            return await _open_script(choice.id, choice.path)
        case "bundled" | "directory" | "hub":
            return await _open_mlx(choice, choice.path, on_progress)
        case _:
            assert_never(choice.source)


async def close_models() -> None:
    """End every engine's thread and release the weights."""
    async with _open_models.lock:
        engines, _open_models.engines = _open_models.engines, {}
        with anyio.CancelScope(shield=True):
            for engine, _ in engines.values():
                await engine.aclose()


async def _open_script(name: str, path: Path) -> "Model":
    scripted = await anyio.to_thread.run_sync(
        importlib.import_module, "punie.models.scripted", abandon_on_cancel=True
    )
    model: Model = scripted.ScriptedModel(scripted.load_script(path), name)
    return model


async def _open_mlx(choice: ModelChoice, path: Path, on_progress: Progress | None) -> "Model":
    async with _open_models.lock:
        opened = _open_models.engines.get(path)
        if opened is None:
            if on_progress is not None:
                await on_progress(f"Loading {choice.title}…")
            opened = await _load(path)
            _open_models.engines[path] = opened
    # Imported while loading, in a thread; from here on it costs nothing.
    from punie.models.mlx.model import MlxModel

    engine, chat_format = opened
    return MlxModel(engine, chat_format, choice.id)


async def _load(path: Path) -> "tuple[Engine, ChatFormat]":
    # The small files first: what is wrong there is found in a moment.
    await anyio.to_thread.run_sync(check_model, path, abandon_on_cancel=True)
    chat_format = await anyio.to_thread.run_sync(_load_format, path, abandon_on_cancel=True)
    for module in ("punie.models.mlx.engine", "punie.models.mlx.model"):
        await anyio.to_thread.run_sync(importlib.import_module, module, abandon_on_cancel=True)
    from punie.models.mlx.engine import Engine

    engine = Engine()
    try:
        await engine.load(path)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await engine.aclose()
        raise
    return engine, chat_format


def _load_format(path: Path) -> "ChatFormat":
    from punie.models.mlx.chat_format import ChatFormat

    return ChatFormat.load(path)
