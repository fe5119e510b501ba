"""The Engine seam: one thread that owns MLX. Nothing else loads weights or runs a model.

Importing this module imports MLX and transformers, which takes seconds: do it in a thread.
"""

import atexit
import copy
import os
import queue
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

import anyio.to_thread
import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.generate import generate_step, generation_stream
from mlx_lm.models.cache import can_trim_prompt_cache, make_prompt_cache
from mlx_lm.sample_utils import make_sampler
from mlx_lm.utils import load_model

from punie.models.catalog import ModelUnavailable
from punie.models.mlx.generation import (
    EngineError,
    Finished,
    GenerateRequest,
    Generation,
    Prefilled,
)
from punie.models.mlx.prefix_cache import PrefixCache, Slot

PREFILL_STEP = 512
"""Prompt tokens per step; a cancel in the prompt waits for at most one step."""

_GIB = 1 << 30
_Result = TypeVar("_Result")


class _CancelledInPrompt(Exception):  # noqa: N818 - control flow, not an error
    """Raised through mlx-lm's progress callback, its only way out of a running prefill."""


class Engine:
    """A model in memory and the thread that runs it; requests are served in turn.

    `slots` and `cache_bytes` bound the key-value caches kept between requests.
    """

    def __init__(self, *, slots: int = 4, cache_bytes: int | None = None) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._prefixes = PrefixCache(slots, cache_bytes or max(_GIB, _memory_bytes() // 8))
        self._model: Any = None
        self._vocabulary_size: int | None = None
        self._closed = False
        self.directory: Path | None = None
        self.config: dict[str, Any] = {}
        self.prefilled_tokens = 0
        """Prompt tokens that went through the model since the start, over all requests."""
        self._thread = threading.Thread(target=self._serve, name="punie-mlx", daemon=True)
        self._thread.start()
        # A thread that is inside MLX when the interpreter goes away aborts the process.
        atexit.register(self._close, 10.0)

    async def load(self, directory: Path) -> None:
        """Load the model that lies in `directory`; raise `ModelUnavailable`."""
        await self._call(lambda: self._load(directory))

    @asynccontextmanager
    async def generate(self, request: GenerateRequest) -> AsyncIterator[Generation]:
        """Queue a request; leaving the context cancels what is still to be generated."""
        if not request.tokens:
            raise ValueError("A prompt has at least one token.")
        if self._vocabulary_size is not None and max(request.tokens) >= self._vocabulary_size:
            # MLX does not check bounds: such a token would end the process.
            raise EngineError(
                f"The prompt has token {max(request.tokens)} and the model knows only "
                f"{self._vocabulary_size}; its tokenizer belongs to another model."
            )
        if self._closed:
            raise EngineError("The model is closed; open it again.")
        generation = Generation(request)
        self._jobs.put(lambda: self._run(generation))
        try:
            yield generation
        finally:
            generation.cancel()

    async def aclose(self) -> None:
        """Cancel all generations, end the thread and release the model's memory."""
        await anyio.to_thread.run_sync(self._close, None)
        atexit.unregister(self._close)

    def _close(self, seconds: float | None) -> None:
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
        self._thread.join(seconds)

    def is_unwanted(self, generation: Generation) -> bool:
        """Tell whether a generation should end: its consumer left, or the engine closes."""
        return self._closed or generation.is_cancelled()

    async def _call(self, job: Callable[[], _Result]) -> _Result:
        future: Future[_Result] = Future()

        def run() -> None:
            try:
                future.set_result(job())
            except BaseException as error:
                future.set_exception(error)

        self._jobs.put(run)
        return await anyio.to_thread.run_sync(future.result, abandon_on_cancel=True)

    # Below, everything runs on the engine's thread.

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
        self._prefixes.clear()
        self._model = None
        mx.clear_cache()
        # Streams still at work when the interpreter goes away abort the process.
        mx.synchronize(generation_stream)
        mx.clear_streams()

    def _load(self, directory: Path) -> None:
        try:
            self._model, self.config = load_model(directory)
        except Exception as error:
            raise ModelUnavailable(
                f"The model in {directory} cannot be loaded ({_one_line(error)}); "
                "download or convert it again."
            ) from error
        self.directory = directory
        size = self.config.get("vocab_size") or self.config.get("text_config", {}).get("vocab_size")
        self._vocabulary_size = int(size) if size else None
        _limit_wired_memory(self._model)

    def _run(self, generation: Generation) -> None:
        try:
            generation.post(self._generate(generation))
        except Exception as error:
            generation.post(EngineError(f"The model failed: {_one_line(error)}"))

    def _generate(self, generation: Generation) -> Finished:
        request = generation.request
        prompt = list(request.tokens)
        if self.is_unwanted(generation):
            return Finished("cancelled", len(prompt), 0, 0, 0)
        slot = self._prefixes.take(prompt)
        if slot is None:
            slot = Slot([], make_prompt_cache(self._model), 0)
        slot.prompt_length = len(prompt)
        cached = len(slot.tokens)
        prefill = _Prefill(self, generation, slot, cached)
        if request.seed is not None:
            mx.random.seed(request.seed)  # random state is the thread's own
        steps = generate_step(
            mx.array(prompt[cached:]),
            self._model,
            max_tokens=request.max_tokens,
            sampler=make_sampler(request.temperature, request.top_p),
            prompt_cache=slot.cache,
            prefill_step_size=PREFILL_STEP,
            prompt_progress_callback=prefill.progress,
        )
        reason: Literal["stop", "length", "cancelled"] = "length"
        output = 0
        try:
            for token, _ in steps:
                number = int(token)
                # mlx-lm has already queued the step that feeds this token: it is in the cache.
                slot.tokens.append(number)
                if number in request.stop_ids:
                    reason = "stop"
                    break
                if self.is_unwanted(generation):
                    reason = "cancelled"
                    break
                output += 1
                generation.post(number)
        except _CancelledInPrompt:
            reason = "cancelled"
        finally:
            steps.close()
        self._prefixes.put(slot)
        return Finished(reason, len(prompt), cached, prefill.done, output)

    def keep_checkpoint(self, slot: Slot) -> None:
        """Keep a copy of a cache that cannot be trimmed, where the next turn can take it up."""
        self._prefixes.put(Slot(list(slot.tokens), copy.deepcopy(slot.cache), len(slot.tokens)))


class _Prefill:
    """Follows one prefill: keeps the slot's tokens true, reports, and ends it on a cancel."""

    def __init__(self, engine: Engine, generation: Generation, slot: Slot, cached: int) -> None:
        self._engine = engine
        self._generation = generation
        self._slot = slot
        self._cached = cached
        self.done = 0

    def progress(self, done: int, total: int) -> None:
        """Take note that `done` of the `total` tokens to prefill went through the model."""
        prompt = self._generation.request.tokens
        new = prompt[self._cached + self.done : self._cached + done]
        self._slot.tokens.extend(new)
        self._engine.prefilled_tokens += len(new)
        self.done = done
        self._generation.post(Prefilled(self._cached + done, len(prompt)))
        if done < total and self._engine.is_unwanted(self._generation):
            raise _CancelledInPrompt
        if done == total - 1 and done and not can_trim_prompt_cache(self._slot.cache):
            self._engine.keep_checkpoint(self._slot)


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _one_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _limit_wired_memory(model: Any) -> None:
    """On Metal, keep the weights and some room wired, not all that the machine would allow."""
    if not mx.metal.is_available():
        return
    parameters: list[tuple[str, Any]] = tree_flatten(model.parameters())  # type: ignore[assignment]
    weights = sum(array.nbytes for _, array in parameters)
    allowed = int(mx.device_info()["max_recommended_working_set_size"])
    mx.set_wired_limit(min(allowed, weights + weights // 8 + 2 * _GIB))
