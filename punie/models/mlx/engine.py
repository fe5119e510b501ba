"""The Engine seam: one thread that owns MLX. Nothing else loads weights or runs a model.

Importing this module imports MLX, which takes a while: do it in a thread.
"""

import atexit
import gc
import logging
import queue
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio.to_thread
import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from punie.models.architecture import Architecture, read_architecture
from punie.models.catalog import ModelUnavailable
from punie.models.mlx.decoding.draft_model import DraftModel
from punie.models.mlx.decoding.speculation import DraftControl
from punie.models.mlx.generation import EngineError, GenerateRequest, Generation
from punie.models.mlx.library import load_model
from punie.models.mlx.prefixes.cache import PrefixCache
from punie.models.mlx.prefixes.store import PrefixStore, model_identity
from punie.models.mlx.scheduling.admission import MemoryBudget
from punie.models.mlx.scheduling.scheduler import Scheduler, one_line
from punie.models.mlx.sharding.model import ShardedModel
from punie.models.options import EngineOptions
from punie.models.sharding.division import share_of
from punie.models.sharding.hosts import CannotShare
from punie.models.sharding.machines import Machines

_DEFAULT_OPTIONS = EngineOptions()
_SAVING_SECONDS = 0.5
"""How often an idle engine looks whether there is something to save."""
_LAST_SAVING_SECONDS = 3.0
"""What the end of a process may take for saving; the rest is read again at the next start."""
_LEAVING_SECONDS = 0.1
"""What the destructors of a thread may take; they only wait for the interpreter's lock."""
_PARTING_SECONDS = 2.0
"""What the end of an engine may take that waits for other machines."""
_DRAFT_CACHE = 1 << 30
"""Bytes for what a draft model has read."""
_Result = TypeVar("_Result")
_log = logging.getLogger(__name__)


class Engine:
    """A model in memory and the thread that runs it, for many sessions at once.

    `cache_bytes` bounds the key-value caches kept between requests; None leaves it to the machine.
    With `machines` these run their parts of the model, which then stays in memory. `draft_control`
    judges the drafts of the draft model in place of the engine's own, to measure them.
    """

    def __init__(
        self,
        options: EngineOptions = _DEFAULT_OPTIONS,
        *,
        cache_bytes: int | None = None,
        machines: Machines | None = None,
        draft_control: DraftControl | None = None,
    ) -> None:
        self._options = options
        self._draft_control = draft_control
        self._machines = machines
        self._running: set[Generation] = set()
        if machines is not None:
            machines.on_lost.append(self._fail_all)
        self._cache_bytes = cache_bytes
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._scheduler: Scheduler | None = None
        self._prefixes: PrefixCache | None = None
        self._prefilled = 0
        self._idle_since = time.monotonic()
        self._closed = False
        self.vocabulary_size: int | None = None
        """Width of the model's logits, if its configuration tells."""
        self.most_tokens: int | None = None
        """How long a conversation can get with the memory there is, if that is known."""
        self.directory: Path | None = None
        self._draft: Path | None = None
        self.draft_trouble: str | None = None
        """Why the draft model that was asked for is not used, in a sentence."""
        self.config: dict[str, Any] = {}
        self.before_waking: Callable[[], Awaitable[None]] | None = None
        """Is called before released weights are loaded again; raises `ModelUnavailable`."""
        self.on_release: Callable[[], None] | None = None
        """Is called on the engine's thread when the weights are released."""
        self._thread = threading.Thread(target=self._serve, name="punie-mlx", daemon=True)
        self._thread.start()
        # A thread that is inside MLX when the interpreter goes away aborts the process.
        atexit.register(self._close, 10.0)

    async def load(self, directory: Path, draft: Path | None = None) -> None:
        """Load the model that lies in `directory`; raise `ModelUnavailable`.

        With it comes the draft model in `draft`; if that cannot be used, answers take longer and
        are the same, so it is left out and `draft_trouble` tells why.
        """
        await self._call(lambda: self._load(directory, draft))

    @property
    def prefilled_tokens(self) -> int:
        """Prompt tokens that went through the model since the start, over all requests."""
        running = self._scheduler
        return self._prefilled + (0 if running is None else running.prefilled_tokens)

    @property
    def peak_memory(self) -> int:
        """Bytes that MLX held at most since the process began."""
        return int(mx.get_peak_memory())

    @property
    def is_asleep(self) -> bool:
        """Whether the weights were released and the next request loads them again."""
        return self.directory is not None and self._scheduler is None

    @asynccontextmanager
    async def generate(self, request: GenerateRequest) -> AsyncIterator[Generation]:
        """Queue a request; leaving the context cancels what is still to be generated."""
        if not request.tokens:
            raise ValueError("A prompt has at least one token.")
        if self.vocabulary_size is not None and max(request.tokens) >= self.vocabulary_size:
            # MLX does not check bounds: such a token would end the process.
            raise EngineError(
                f"The prompt has token {max(request.tokens)} and the model knows only "
                f"{self.vocabulary_size}; its tokenizer belongs to another model."
            )
        if self._closed or self.directory is None:
            raise EngineError("The model is closed; open it again.")
        if self._machines is not None and self._machines.lost.is_set():
            raise EngineError(self._machines.trouble)
        if self.is_asleep and self.before_waking is not None:
            try:
                await self.before_waking()
            except ModelUnavailable as error:
                raise EngineError(str(error)) from error
        generation = Generation(request)
        self._running.add(generation)
        self._jobs.put(lambda: self._add(generation))
        try:
            yield generation
        finally:
            self._running.discard(generation)
            generation.cancel()

    def _fail_all(self, sentence: str) -> None:
        """End what runs, from any thread: the engine's own may wait for a machine for ever."""
        for generation in list(self._running):
            generation.post(EngineError(sentence))

    def forget(self, owner: str) -> None:
        """Drop what is kept of a session, from memory and from disk, between two passes."""
        if not self._closed:
            self._jobs.put(lambda: self._forget(owner))

    async def with_model(self, job: Callable[[Any], _Result]) -> _Result:
        """Return what `job` makes of the model, on the engine's thread; everything else waits."""
        if self._closed or self.directory is None:
            raise EngineError("The model is closed; open it again.")
        return await self._call(lambda: job(self._awake().model))

    async def rest(self) -> bool:
        """Release the weights unless something is under way; tell whether they are released."""
        return self._closed or await self._call(self._rest)

    async def aclose(self) -> None:
        """Cancel all generations, end the thread and release the model's memory."""
        # A machine that has gone silent may hold the thread for ever.
        seconds = None if self._machines is None else _PARTING_SECONDS
        await anyio.to_thread.run_sync(self._close, seconds)
        atexit.unregister(self._close)

    def _close(self, seconds: float | None) -> None:
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
        self._thread.join(seconds)
        _wait_until_gone(self._thread)

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
        while self._take_jobs():
            if self._scheduler is not None and self._scheduler.busy:
                self._scheduler.step()
                self._idle_since = time.monotonic()
        # Closing: what came at the last moment, and everything under way, is unwanted.
        while not self._jobs.empty():
            if (job := self._jobs.get()) is not None:
                job()
        if self._scheduler is not None and self._scheduler.busy:
            self._scheduler.step()
        self._release()
        # Streams still at work when the interpreter goes away abort the process.
        mx.synchronize()
        mx.clear_streams()

    def _take_jobs(self) -> bool:
        """Run the jobs that wait, and wait for one if nothing else is to do; False at the end."""
        busy = self._scheduler is not None and self._scheduler.busy
        while True:
            try:
                job = self._jobs.get(block=not busy, timeout=None if busy else self._idle())
            except queue.Empty:
                if busy:
                    return True
                continue
            if job is None:
                return False
            job()
            busy = True

    def _idle(self) -> float | None:
        """Do a piece of what waits for quiet; return the seconds until there may be more."""
        if self._scheduler is None:
            return None
        assert self._prefixes is not None
        saving = _SAVING_SECONDS if self._prefixes.idle() else None
        idle = None if self._machines else self._options.idle_seconds
        if idle is None:
            return saving
        left = self._idle_since + idle - time.monotonic()
        if left <= 0:
            self._rest()
            return None
        return left if saving is None else min(left, saving)

    def _rest(self) -> bool:
        if self._scheduler is not None and not self._scheduler.busy and not self._machines:
            self._release()
            _log.info("weights released")
        return self._scheduler is None

    def _forget(self, owner: str) -> None:
        if self._prefixes is not None:
            self._prefixes.forget(owner, saved=True)

    def _add(self, generation: Generation) -> None:
        try:
            self._awake().add(generation)
        except Exception as error:
            generation.post(EngineError(f"{one_line(error)}."))

    def _awake(self) -> Scheduler:
        """Return the scheduler; load the weights again if they were released."""
        if self._scheduler is None:
            if self._closed:
                raise EngineError("The model is closed; open it again.")
            assert self.directory is not None
            self._load(self.directory, self._draft)
        assert self._scheduler is not None
        return self._scheduler

    def _load(self, directory: Path, draft: Path | None) -> None:
        try:
            if self._machines is None:
                model, self.config = load_model(directory)
            else:
                model, self.config = ShardedModel.load(directory, self._machines)
        except CannotShare as error:
            raise ModelUnavailable(str(error)) from error
        except Exception as error:
            raise ModelUnavailable(
                f"The model in {directory} cannot be loaded ({one_line(error)}); "
                "download or convert it again."
            ) from error
        size = self.config.get("vocab_size") or self.config.get("text_config", {}).get("vocab_size")
        self.vocabulary_size = int(size) if size else None
        architecture = read_architecture(self.config)
        drafter = None if draft is None else self._load_draft(draft, directory)
        memory = self._memory(architecture)
        self._limits = memory.set_limits()
        self.most_tokens = memory.most_tokens(make_prompt_cache(model))
        cache_bytes = self._cache_bytes or memory.cache_bytes()
        self._prefixes = PrefixCache(
            lambda: make_prompt_cache(model), cache_bytes, store=self._store(directory)
        )
        self._scheduler = Scheduler(model, self._prefixes, memory, drafter, lambda: self._closed)
        self._idle_since = time.monotonic()
        self.directory, self._draft = directory, None if drafter is None else draft

    def _memory(self, architecture: Architecture | None) -> MemoryBudget:
        memory = MemoryBudget.of_machine(architecture, self._options.memory_limit)
        if self._machines is None:
            return memory
        # All parts are alike, so the smallest machine is the measure.
        limit = min(memory.limit, self._machines.usable)
        return MemoryBudget(limit, share_of(architecture, self._machines.size), packs=False)

    def _load_draft(self, draft: Path, directory: Path) -> DraftModel | None:
        try:
            return DraftModel(
                draft, directory, self.vocabulary_size, _DRAFT_CACHE, self._draft_control
            )
        except ModelUnavailable as error:
            self.draft_trouble = str(error)
            return None

    def _store(self, directory: Path) -> PrefixStore | None:
        place = self._options.prefix_directory
        if place is None or self._machines is not None:
            return None
        return PrefixStore(place, model_identity(directory), max_bytes=self._options.prefix_bytes)

    def _release(self) -> None:
        """Let go of the weights and all caches, and save what the next start can use."""
        if self._scheduler is None:
            return
        assert self._prefixes is not None
        self._prefilled += self._scheduler.prefilled_tokens
        self._prefixes.flush(_LAST_SAVING_SECONDS)
        self._prefixes.clear()
        if self.on_release is not None:
            # Before the engine looks asleep, so that whoever wakes it up comes after this.
            self.on_release()
        self._scheduler = self._prefixes = None
        gc.collect()  # a model holds itself in circles
        mx.clear_cache()
        self._limits.restore()


def _wait_until_gone(thread: threading.Thread) -> None:
    """Wait until a thread that has run its last line has left the process.

    What MLX keeps for a thread is destroyed after that and takes the interpreter's lock for it; an
    interpreter that goes away meanwhile aborts the process.
    """
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        time.sleep(_LEAVING_SECONDS)  # Other systems do not tell.
        return
    deadline = time.monotonic() + _LEAVING_SECONDS
    while (tasks / str(thread.native_id)).exists() and time.monotonic() < deadline:
        time.sleep(0.001)
