"""Which response gets the next pass of the model: several are under way on one thread.

Responses that are being written share one pass per token. Prompts are read chunk by chunk in
between, those of watched turns first and equals in turn, and the time for reading is bounded
while somebody else is writing. A cancelled response leaves between two passes.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import can_trim_prompt_cache

from punie.models.mlx.decoding.decoder import Decoder
from punie.models.mlx.decoding.draft_model import DraftModel
from punie.models.mlx.decoding.drafting import Drafting, lookup_source
from punie.models.mlx.decoding.rewind import can_rewind
from punie.models.mlx.decoding.sampling import Sampler
from punie.models.mlx.decoding.speculation import DraftControl
from punie.models.mlx.generation import EngineError, Finished, Generation
from punie.models.mlx.prefixes.cache import PrefixCache
from punie.models.mlx.prefixes.entry import Kind
from punie.models.mlx.prefixes.layers import UnknownLayerError
from punie.models.mlx.scheduling.admission import MemoryBudget
from punie.models.mlx.scheduling.batch import BatchDecoder, can_batch
from punie.models.mlx.scheduling.prefill import LARGEST_CHUNK, ChunkSize, read_chunk
from punie.models.mlx.scheduling.sequence import TokenSequence
from punie.models.mlx.sharding.model import ShardedModel

MOST_SEQUENCES = 16
"""Responses under way at once; more wait their turn."""

_BACKGROUND_SHARE = 3
"""Seconds that watched responses write for each second in which a background prompt is read."""
_CLEAR_EVERY = 256
_LOOK_EVERY = 32

_log = logging.getLogger(__name__)


class Scheduler:
    """Runs all responses of one model; belongs to the engine's thread."""

    def __init__(
        self,
        model: Any,
        prefixes: PrefixCache,
        memory: MemoryBudget,
        draft: DraftModel | None,
        unwanted: Callable[[], bool],
    ) -> None:
        """`unwanted` tells that nothing is wanted any more, because the engine closes."""
        self.model = model
        self._prefixes = prefixes
        self._memory = memory
        self._draft = draft
        # Other machines follow one plain cache at a time, and one that only grows.
        self._alone = isinstance(model, ShardedModel)
        self._closing = unwanted
        self._waiting: list[Generation] = []
        self._reading: list[TokenSequence] = []
        self._solo: list[tuple[TokenSequence, Decoder]] = []
        self._batch = BatchDecoder(model)
        self._lookup = DraftControl()
        self._chunk = ChunkSize()
        self._owed = 0.0  # seconds of writing before the next chunk may be read
        self._steps = 0
        self.prefilled_tokens = 0

    @property
    def busy(self) -> bool:
        """Whether anything is waiting or under way."""
        return bool(self._waiting or self._reading or self._solo or len(self._batch))

    def add(self, generation: Generation) -> None:
        """Take a request; it starts at one of the next steps."""
        self._waiting.append(generation)

    def step(self) -> None:
        """Do one pass for what is being written, and read one chunk of a prompt."""
        self._drop_unwanted()
        self._admit()
        begin = time.perf_counter()
        writing = self._write()
        self._owed -= time.perf_counter() - begin
        if self._reading and (not writing or self._owed <= 0):
            self._read(beside_others=writing)

    # Coming and going.

    def _admit(self) -> None:
        self._waiting.sort(key=lambda generation: generation.request.priority != "watched")
        while self._waiting and len(self._under_way()) < MOST_SEQUENCES:
            generation = self._waiting[0]
            try:
                sequence = self._start(generation)
            except Exception as error:
                self._waiting.pop(0)
                self._report(generation, error)
                continue
            if sequence is None:
                return
            self._waiting.pop(0)
            self._reading.append(sequence)

    def _under_way(self) -> list[TokenSequence]:
        return [*self._reading, *(sequence for sequence, _ in self._solo), *self._batch.sequences]

    def _start(self, generation: Generation) -> TokenSequence | None:
        """Return a sequence with what is known of its prompt; None if there is no room yet."""
        request = generation.request
        sampler = Sampler(request.sampling)
        slot = self._prefixes.take(request.tokens, request.owner)
        sequence = TokenSequence(generation, slot, sampler)
        try:
            admitted = self._memory.admit(sequence, self._under_way(), self._prefixes)
        except EngineError:
            self._keep(sequence)
            raise
        if not admitted:
            self._keep(sequence)
            return None
        if self._draft is not None and request.speculate and request.max_tokens > 0:
            sequence.drafter = self._draft.drafter(request, sampler)
        # Of two kinds at one place the system prefix counts more; it comes first.
        places: dict[int, Kind] = {}
        trimmable = can_trim_prompt_cache(slot.layers)
        for position, kind in request.checkpoints:
            ahead = sequence.cached < position < len(request.tokens)
            if ahead and (kind == "system" or not trimmable):
                places.setdefault(position, kind)
        sequence.checkpoints = sorted(places.items())
        return sequence

    def _drop_unwanted(self) -> None:
        kept: list[Generation] = []
        for generation in self._waiting:
            if self._unwanted(generation):
                generation.post(Finished("cancelled", len(generation.request.tokens), 0, 0, 0))
            else:
                kept.append(generation)
        self._waiting = kept
        wanting = {g.request.owner for g in kept if g.request.max_tokens > 0} - {None}
        for sequence in list(self._reading):
            # Reading ahead ends when the session itself has something to ask.
            request = sequence.generation.request
            overtaken = request.max_tokens == 0 and request.owner in wanting
            if overtaken or self._unwanted(sequence.generation):
                self._reading.remove(sequence)
                self._end(sequence)
        for sequence, decoder in [d for d in self._solo if self._unwanted(d[0].generation)]:
            self._end_solo(sequence, decoder)
        for sequence in [s for s in self._batch.sequences if self._unwanted(s.generation)]:
            self._batch.leave(sequence)
            self._end(sequence)

    def _unwanted(self, generation: Generation) -> bool:
        return self._closing() or generation.is_cancelled()

    def _end_solo(self, sequence: TokenSequence, decoder: Decoder) -> None:
        self._solo.remove((sequence, decoder))
        try:
            decoder.settle()
            self._end(sequence)
        except Exception as error:
            self._report(sequence.generation, error)

    def _end(self, sequence: TokenSequence) -> None:
        """Keep the cache and tell the consumer; the cache first, the next turn may be quick."""
        self._keep(sequence)
        sequence.generation.post(sequence.finished())

    def _keep(self, sequence: TokenSequence) -> None:
        request = sequence.generation.request
        if request.max_tokens == 0 and request.owner is None:
            return  # Only its checkpoints were asked for.
        if self._draft is not None and sequence.drafter is not None:
            self._draft.release(sequence.drafter, request.owner)
        try:
            self._prefixes.put(sequence.slot, "session", request.owner)
        except UnknownLayerError:
            _log.exception("a response's cache is dropped")

    def _report(self, generation: Generation, error: Exception) -> None:
        if not isinstance(error, EngineError):
            _log.error("a generation failed", exc_info=error)
            error = EngineError(f"The model failed: {one_line(error)}")
        generation.post(error)

    # Writing.

    def _write(self) -> bool:
        """Do one pass for everything that is being written; tell whether there is anything."""
        self._arrange()
        if len(self._batch):
            self._write_batch()
        for sequence, decoder in list(self._solo):
            try:
                if sequence.reason is None:  # what the grammar forced may have been the last
                    decoder.step()
                if sequence.reason is not None:
                    self._end_solo(sequence, decoder)
            except Exception as error:
                self._solo.remove((sequence, decoder))
                self._report(sequence.generation, error)
        self._steps += 1
        if self._steps % _CLEAR_EVERY == 0:
            mx.clear_cache()
        if self._steps % _LOOK_EVERY == 0 and self._memory.is_exceeded():
            self._relieve()
        return bool(self._solo or len(self._batch))

    def _write_batch(self) -> None:
        try:
            self._batch.step()
            for sequence in [s for s in self._batch.sequences if s.reason is not None]:
                self._batch.leave(sequence)
                self._end(sequence)
        except Exception as error:
            # What failed in one pass failed for all that shared it.
            for sequence in self._batch.sequences:
                self._report(sequence.generation, error)
            self._batch = BatchDecoder(self.model)

    def _relieve(self) -> None:
        """Free memory while responses grow: first what is kept of others, then the last one."""
        mx.clear_cache()
        self._prefixes.shrink(max(0, self._prefixes.nbytes - self._memory.excess()))
        if not self._memory.is_exceeded():
            return
        running = [*(sequence for sequence, _ in self._solo), *self._batch.sequences]
        running.sort(key=lambda sequence: sequence.generation.request.priority == "watched")
        victim = running[0]
        for sequence, decoder in [entry for entry in self._solo if entry[0] is victim]:
            self._solo.remove((sequence, decoder))
        if victim in self._batch.sequences:
            self._batch.leave(victim)
        self._report(
            victim.generation,
            EngineError(
                "There is no memory for a longer answer; start a new session, close other "
                "programs or choose a smaller model."
            ),
        )

    def _arrange(self) -> None:
        """Put responses that can share a pass into the batch, or a lonely one out of it."""
        # What the grammar forced may have been all of a response.
        able = [
            entry
            for entry in self._solo
            if not self._alone and entry[0].reason is None and can_batch(entry[0].layers)
        ]
        if len(able) + len(self._batch) >= 2:
            for sequence, decoder in able:
                self._solo.remove((sequence, decoder))
                self._batch.join(sequence, decoder.handover())
        elif len(self._batch) == 1 and not self._reading:
            (sequence,) = self._batch.sequences
            pending = self._batch.leave(sequence)
            drafting = self._drafting(sequence)
            decoder = Decoder.resume(self.model, sequence, drafting, pending)
            self._solo.append((sequence, decoder))

    def _drafting(self, sequence: TokenSequence) -> Drafting | None:
        """Return what drafts for a sequence from here on."""
        if self._alone or not sequence.generation.request.speculate:
            return None
        if not can_rewind(sequence.layers):
            return None
        certain = [*sequence.slot.tokens, *sequence.unread]
        drafting = Drafting()
        if self._draft is None or not self._draft.alone:
            drafting.sources.append(lookup_source(certain, self._lookup))
        if self._draft is not None and sequence.drafter is not None:
            sequence.drafter.catch_up(certain)
            drafting.sources.append((sequence.drafter, self._draft.control))
        return drafting

    # Reading.

    def _read(self, *, beside_others: bool) -> None:
        sequence = self._next_reader()
        try:
            if len(sequence.unread) > 1:
                self._read_chunk(sequence, beside_others=beside_others)
            elif sequence.drafter is not None and sequence.drafter.unread:
                sequence.drafter.read(LARGEST_CHUNK)
            if len(sequence.unread) == 1 and not (sequence.drafter and sequence.drafter.unread):
                self._reading.remove(sequence)
                if sequence.generation.request.max_tokens > 0:
                    self._begin(sequence)
                else:
                    sequence.reason = "length"
                    self._end(sequence)
            else:
                # Equals take turns.
                self._reading.remove(sequence)
                self._reading.append(sequence)
        except Exception as error:
            if sequence in self._reading:
                self._reading.remove(sequence)
            self._report(sequence.generation, error)

    def _next_reader(self) -> TokenSequence:
        watched = (s for s in self._reading if s.generation.request.priority == "watched")
        return next(watched, self._reading[0])

    def _read_chunk(self, sequence: TokenSequence, *, beside_others: bool) -> None:
        stop = next((at for at, _ in sequence.checkpoints), None)
        size = self._chunk.tokens(
            lambda size: self._memory.chunk_fits(sequence, size), beside_others=beside_others
        )
        before = sequence.prefilled
        seconds = read_chunk(self.model, sequence, size, stop)
        count = sequence.prefilled - before
        self.prefilled_tokens += count
        self._chunk.record(count, seconds)
        if stop == len(sequence.slot.tokens):
            self._checkpoint(sequence)
        if beside_others:
            watched = sequence.generation.request.priority == "watched"
            self._owed = seconds * (1 if watched else _BACKGROUND_SHARE)

    def _checkpoint(self, sequence: TokenSequence) -> None:
        _, kind = sequence.checkpoints.pop(0)
        try:
            self._prefixes.checkpoint(sequence.slot, kind, sequence.generation.request.owner)
        except UnknownLayerError:
            _log.exception("a checkpoint is dropped")

    def _begin(self, sequence: TokenSequence) -> None:
        drafting = self._drafting(sequence)
        decoder = Decoder.begin(self.model, sequence, drafting)
        self.prefilled_tokens += 1
        self._solo.append((sequence, decoder))


def one_line(error: Exception) -> str:
    """Return the first line of an error's text."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
