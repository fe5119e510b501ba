"""Opening a model. Light to import: the heavy parts load inside, off the event loop."""

import importlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

import anyio
import anyio.to_thread

from punie.models.catalog import (
    ENDPOINT_PREFIX,
    ModelChoice,
    ModelUnavailable,
    resolve_model,
    weight_bytes,
)
from punie.models.checking import check_model
from punie.models.endpoint import Endpoint, needed_endpoint, read_key
from punie.models.holdings import Holdings
from punie.models.machine import machine_memory
from punie.models.mlx.prefixes.file import forget_saved
from punie.models.options import EngineOptions

if TYPE_CHECKING:
    from punie.models.mlx.chat_format import ChatFormat
    from punie.models.mlx.decoding.sampling import Sampling
    from punie.models.mlx.engine import Engine
    from punie.models.mlx.guidance.call_guide import CallGrammar
    from punie.models.remote import RemoteModel
    from punie.models.streaming import StreamingModel

_DEFAULT_OPTIONS = EngineOptions()
_SHARE_OF_WEIGHTS = 0.7
"""Weights of several models may take this part of the memory; the rest is for what they read."""
_REST_SECONDS = 5.0
"""How long another model may take to come to rest, as when it reads ahead."""

_UNKNOWN_WINDOW = (
    "The server does not tell how much its model reads; set openai_context to the tokens of its "
    "window, so that long conversations are shortened before it refuses them."
)

Progress = Callable[[str], Awaitable[None]]
"""Receives short sentences for the person who waits."""


@dataclass(frozen=True)
class _OpenModel:
    """What all users of one model share; `warnings` are for each of them."""

    engine: "Engine"
    chat_format: "ChatFormat"
    grammar: "CallGrammar"
    sampling: "Sampling"
    warnings: tuple[str, ...]


class _OpenModels:
    """The models that this process holds in memory; weights are too big to hold them twice."""

    def __init__(self) -> None:
        self.lock = anyio.Lock()
        self.models: dict[Path, _OpenModel] = {}
        self.remote: dict[tuple[str, Endpoint], RemoteModel] = {}
        self.holdings: dict[Path, Holdings] = {}

    async def make_room(self, path: Path, options: EngineOptions) -> None:
        """Let the other models go that nobody uses just now, if all together would not fit.

        Raises `ModelUnavailable` if there is no memory for this one beside those that are in use.
        """
        limit = options.memory_limit or machine_memory(measure_free=False).usable
        awake = {
            p: m.engine for p, m in self.models.items() if p != path and not m.engine.is_asleep
        }
        needed = bytes_here(path, options)
        if needed + _bytes_of(awake, options) > limit * _SHARE_OF_WEIGHTS:
            for other, engine in list(awake.items()):
                if await _rests(engine):
                    del awake[other]
        if awake and needed + _bytes_of(awake, options) > limit:
            raise ModelUnavailable(
                f"There is no memory for the model in {path} beside the one that is answering; "
                "wait until that is done, or use the same model."
            )
        holdings = self.holdings_of(options)
        if holdings is not None:
            own = _bytes_of(awake, options)
            await anyio.to_thread.run_sync(holdings.claim, path, needed, limit, own)

    def holdings_of(self, options: EngineOptions) -> Holdings | None:
        """Return where the processes of the user tell which models they hold."""
        folder = options.holdings_directory
        return None if folder is None else self.holdings.setdefault(folder, Holdings(folder))

    def let_go(self, path: Path, options: EngineOptions) -> None:
        """Tell the other processes that a model's weights were released."""
        holdings = self.holdings_of(options)
        if holdings is not None:
            holdings.release(path)


_open_models = _OpenModels()


def bytes_here(path: Path, options: EngineOptions) -> int:
    """Return what a model's weights take on this machine, which may hold only a part of them."""
    machines = options.machines
    parts = 1 if machines is None or machines.directory != path else machines.size
    return weight_bytes(path) // parts


def _bytes_of(paths: Iterable[Path], options: EngineOptions) -> int:
    return sum(bytes_here(path, options) for path in paths)


async def _rests(engine: "Engine") -> bool:
    """Release an engine's weights as soon as it is idle, for which it gets a moment."""
    with anyio.move_on_after(_REST_SECONDS):
        while not await engine.rest():
            await anyio.sleep(0.1)
        return True
    return False


async def open_model(
    choice: ModelChoice,
    on_progress: Progress | None = None,
    options: EngineOptions = _DEFAULT_OPTIONS,
) -> "StreamingModel":
    """Open a model for use; one that is open already is shared, with its caches.

    `options` hold for one that has to be loaded. Raises `ModelUnavailable`.
    """
    if choice.source == "endpoint":
        return await _open_remote(choice, options.endpoint)
    if choice.path is None:
        raise ModelUnavailable(f"The model {choice.id} has no files here; choose another one.")
    match choice.source:
        case "scripted":
            return await _open_script(choice.id, choice.path)
        case "bundled" | "made" | "directory" | "hub":
            return await _open_mlx(choice, choice.path, on_progress, options)
        case _:
            assert_never(choice.source)


async def close_models() -> None:
    """End every engine's thread, release the weights and close connections to servers."""
    async with _open_models.lock:
        models, _open_models.models = _open_models.models, {}
        remote, _open_models.remote = _open_models.remote, {}
        with anyio.CancelScope(shield=True):
            for open_remote in remote.values():
                await open_remote.client.close()
            for model in models.values():
                await model.engine.aclose()


async def forget_session(owner: str, options: EngineOptions = _DEFAULT_OPTIONS) -> None:
    """Drop what models keep of a session that is deleted, in memory and on disk."""
    for model in _open_models.models.values():
        model.engine.forget(owner)
    place = options.prefix_directory
    if place is not None and place.exists():
        await anyio.to_thread.run_sync(forget_saved, place, owner)


async def _open_script(name: str, path: Path) -> "StreamingModel":
    scripted = await anyio.to_thread.run_sync(
        importlib.import_module, "punie.models.scripted", abandon_on_cancel=True
    )
    model: StreamingModel = scripted.ScriptedModel(scripted.load_script(path), name)
    return model


async def _open_remote(choice: ModelChoice, endpoint: Endpoint | None) -> "StreamingModel":
    endpoint = needed_endpoint(endpoint, choice.id)
    async with _open_models.lock:
        opened = _open_models.remote.get((choice.id, endpoint))
        if opened is not None:
            return opened
        try:
            remote = await anyio.to_thread.run_sync(
                importlib.import_module, "punie.models.remote", abandon_on_cancel=True
            )
        except ModuleNotFoundError as error:
            if error.name != "openai":
                raise
            raise ModelUnavailable(
                f"The model {choice.id} needs the openai package; install it with "
                "`pip install 'punie[openai]'`."
            ) from None
        from punie.models.served import find_served

        name = choice.id.removeprefix(ENDPOINT_PREFIX)
        served = await anyio.to_thread.run_sync(find_served, endpoint, name, abandon_on_cancel=True)
        client = remote.open_client(endpoint, read_key(endpoint))
        model: RemoteModel = remote.RemoteModel(served.name, endpoint, client, served.window)
        if served.window is None:
            model.warnings = (_UNKNOWN_WINDOW,)
        _open_models.remote[choice.id, endpoint] = model
        return model


async def _open_mlx(
    choice: ModelChoice, path: Path, on_progress: Progress | None, options: EngineOptions
) -> "StreamingModel":
    async with _open_models.lock:
        opened = _open_models.models.get(path)
        if opened is None:
            if on_progress is not None:
                await on_progress(f"Loading {choice.title}…")
            await _open_models.make_room(path, options)
            try:
                opened = await _load(path, options)
            except BaseException:
                _open_models.let_go(path, options)
                raise
            _open_models.models[path] = opened
            opened.engine.on_release = partial(_open_models.let_go, path, options)

            async def make_room() -> None:
                async with _open_models.lock:
                    await _open_models.make_room(path, options)

            opened.engine.before_waking = make_room
    # Imported while loading, in a thread; from here on it costs nothing.
    from punie.models.mlx.model import MlxModel

    model = MlxModel(opened.engine, opened.chat_format, opened.grammar, choice.id, opened.sampling)
    model.warnings = opened.warnings
    return model


async def _load(path: Path, options: EngineOptions) -> _OpenModel:
    # The small files first: what is wrong there is found in a moment.
    await anyio.to_thread.run_sync(check_model, path, abandon_on_cancel=True)
    chat_format = await anyio.to_thread.run_sync(_load_format, path, abandon_on_cancel=True)
    for module in ("punie.models.mlx.engine", "punie.models.mlx.model"):
        await anyio.to_thread.run_sync(importlib.import_module, module, abandon_on_cancel=True)
    _stay_offline()
    from punie.models.mlx.decoding.sampling import published_sampling
    from punie.models.mlx.engine import Engine
    from punie.models.mlx.guidance.call_guide import CallGrammar

    sampling = await anyio.to_thread.run_sync(published_sampling, path)
    draft, trouble = await anyio.to_thread.run_sync(_find_draft, options.draft_model)
    machines = options.machines if options.machines and options.machines.directory == path else None
    if machines is not None and draft is not None:
        draft, trouble = None, "A model that several machines share works without drafts"
    engine = Engine(options, machines=machines)
    try:
        await engine.load(path, draft)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await engine.aclose()
        raise
    vocabulary, ends = chat_format.vocabulary, chat_format.stop_ids
    width = engine.vocabulary_size or max(vocabulary.control.values(), default=0) + 1
    grammar = CallGrammar(vocabulary, width, ends)
    trouble = trouble or engine.draft_trouble
    warnings = () if trouble is None else (_without_draft(trouble),)
    return _OpenModel(engine, chat_format, grammar, sampling, warnings)


def _find_draft(reference: str | None) -> tuple[Path | None, str | None]:
    """Return where a draft model lies, or why it cannot be used."""
    if reference is None:
        return None, None
    try:
        path = resolve_model(reference).path
        if path is not None:
            check_model(path)
    except ModelUnavailable as error:
        return None, str(error)
    return path, None


def _without_draft(trouble: str) -> str:
    """Return what to tell of a draft model that is left out; the cure of `trouble` is not this."""
    reason = trouble.partition("; ")[0].rstrip(".")
    return (
        f"{reason}; answers come without a draft model until draft_model is corrected or removed "
        "in the settings."
    )


def _stay_offline() -> None:
    """Keep the hub's library, which mlx-lm brings along, from ever asking the network.

    Not by an environment variable: commands that the agent runs would inherit it.
    """
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = True


def _load_format(path: Path) -> "ChatFormat":
    from punie.models.mlx.chat_format import ChatFormat

    return ChatFormat.load(path)
