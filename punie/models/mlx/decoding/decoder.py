"""Decoding of one response on its own cache: pipelined, guided by a grammar, and with drafts.

Where nothing but the model decides, the next pass is queued before the last token is known, so
that the device never waits for Python. Inside a tool call the mask for a token is computed while
the pass that precedes it runs, and tokens that the grammar forces are read in one pass with it.
"""

import time
from typing import Any

import mlx.core as mx

from punie.models.mlx.decoding.drafting import Drafting, Proposal
from punie.models.mlx.decoding.rewind import mark, rewind
from punie.models.mlx.decoding.sampling import compute, token_of, tokens_of
from punie.models.mlx.decoding.speculation import Draft
from punie.models.mlx.guidance.guide import TokenMask
from punie.models.mlx.guidance.masking import apply_mask
from punie.models.mlx.scheduling.sequence import Pending, TokenSequence


class Decoder:
    """Decodes one sequence step by step, from the first token of the response on."""

    def __init__(
        self, model: Any, sequence: TokenSequence, drafting: Drafting | None, logits: mx.array
    ) -> None:
        """Take up a sequence whose next token follows from `logits` (1, V)."""
        self._model = model
        self._sequence = sequence
        self._guide = sequence.generation.request.guide
        self._stops = sequence.generation.request.stop_ids
        self._drafting = drafting
        self._logits = logits
        self._sampled: mx.array | None = None  # the next token if no mask forbids it, lazily
        self._known: int | None = None  # the next token, checked already
        self._again: list[int] = []  # certain tokens that a rewound cache has to read again

    @classmethod
    def begin(cls, model: Any, sequence: TokenSequence, drafting: Drafting | None) -> "Decoder":
        """Let the model read what is left of the prompt and queue the first choice."""
        rest, sequence.unread = sequence.unread, []
        logits = sequence.feed(model, rest)[-1:]
        sequence.passes = 0  # that one belongs to the prompt
        sequence.note_read(rest)
        decoder = cls(model, sequence, drafting, logits)
        decoder._sample_ahead()
        sequence.report_prefilled(len(rest))
        decoder._write_certain(decoder._forced())
        return decoder

    @classmethod
    def resume(
        cls,
        model: Any,
        sequence: TokenSequence,
        drafting: Drafting | None,
        pending: Pending,
    ) -> "Decoder":
        """Go on with a sequence that comes out of a batch."""
        decoder = cls(model, sequence, drafting, pending.logits)
        decoder._known = pending.known
        decoder._write_certain(pending.certain)
        return decoder

    def step(self) -> None:
        """Decide at least one token, unless the sequence is finished."""
        begin = time.perf_counter()
        mask = None
        if self._known is None and self._guide is not None:
            mask = self._guide.mask()
        drafting = self._drafting
        if self._known is None and mask is None and (drafting is None or not drafting.wanted()):
            self._pipelined()
            if drafting is not None:
                drafting.record_plain(time.perf_counter() - begin)
        else:
            self._advance(self._choose(mask))

    def settle(self) -> None:
        """Let the cache hold every token that was written; call it before the cache is kept."""
        if self._again:
            self._read([])

    def handover(self) -> Pending:
        """Return where the response stands, for a batch."""
        self.settle()
        return Pending(self._logits, self._known, [])

    def _sample_ahead(self) -> None:
        sequence = self._sequence
        self._sampled = sequence.sampler.sample(self._logits, [sequence.output])
        compute(self._sampled)

    def _choose(self, mask: TokenMask | None) -> int:
        if self._known is not None:
            token, self._known = self._known, None
            return token
        if mask is None and self._sampled is not None:
            return token_of(self._sampled)
        logits = self._logits if mask is None else apply_mask(self._logits, mask[None])
        return token_of(self._sequence.sampler.sample(logits, [self._sequence.output]))

    def _pipelined(self) -> None:
        """Queue the pass that reads the next token, then learn which one it is."""
        sequence = self._sequence
        if self._sampled is None:
            self._sample_ahead()
        sampled = self._sampled
        assert sampled is not None
        self._logits = sequence.feed(self._model, sampled)
        self._sampled = sequence.sampler.sample(self._logits, [sequence.output + 1])
        compute(self._sampled)
        token = token_of(sampled)
        sequence.note_read([token])
        self._accept(token)
        self._tell([token])
        sequence.write([token])
        if sequence.reason is None:
            self._write_certain(self._forced())

    def _advance(self, token: int) -> None:
        """Read a token that is known now, with what the grammar forces and what drafts propose."""
        begin = time.perf_counter()
        sequence = self._sequence
        self._accept(token)
        decided = [token]
        if token not in self._stops:
            decided += self._forced()[: self._room(1)]
        self._tell(decided)
        proposal = None
        if self._drafting is not None and token not in self._stops:
            proposal = self._drafting.propose(self._room(len(decided)))
        if proposal is None:
            self._read(decided)
            sequence.write(decided)
        else:
            self._check(decided, proposal, begin)

    def _check(self, decided: list[int], proposal: Proposal, begin: float) -> None:
        """Read decided and drafted tokens in one pass and keep the drafted ones that are right."""
        sequence = self._sequence
        draft = proposal.draft
        read = [*self._again, *decided]
        certain, first = len(read), len(self._again)
        rows: list[int] = []  # of the positions that have to be checked
        masks: list[TokenMask | None] = []
        for token in draft.tokens:
            allowed = self._mask()
            if self._guide is not None and self._guide.accept([token]) == 0:
                break
            rows.append(len(read) - 1)
            masks.append(allowed)
            read.append(token)
            if token in self._stops:
                break
            read += self._forced()
        proposed = len(rows)
        rows.append(len(read) - 1)
        masks.append(self._mask())
        before = mark(sequence.layers)
        logits = sequence.feed(self._model, read)
        chosen = self._choices(logits, rows, masks, first)
        right = 0
        while right < proposed and chosen[right] == read[rows[right] + 1]:
            right += 1
        keep = rows[right] + 1
        self._again = []
        if keep < len(read):
            if self._guide is not None:
                self._guide.rollback(len(read) - keep)
            kept = rewind(sequence.layers, before, len(read), keep)
            sequence.note_read(read[:kept])
            self._again = read[kept:keep]
        else:
            sequence.note_read(read)
        self._logits = logits[keep - 1 : keep]
        self._sampled = None
        self._known = chosen[right]
        fresh = read[first:keep]
        self._tell(fresh[certain - first :])
        sequence.write(fresh)
        if proposed:
            # All of it counts: nothing of this runs beside the device, as it does in plain steps.
            tested = Draft(draft.tokens[:proposed], draft.evidence)
            proposal.control.record(tested, right, time.perf_counter() - begin)

    def _choices(
        self, logits: mx.array, rows: list[int], masks: list[TokenMask | None], first: int
    ) -> list[int]:
        """Return the model's own token for each row; row `r` chooses output token `r + 1`."""
        sequence = self._sequence
        picked = [
            logits[row : row + 1]
            if allowed is None
            else apply_mask(logits[row : row + 1], allowed[None])
            for row, allowed in zip(rows, masks, strict=True)
        ]
        positions = [sequence.output + row + 1 - first for row in rows]
        stacked = picked[0] if len(picked) == 1 else mx.concatenate(picked)
        return tokens_of(sequence.sampler.sample(stacked, positions))

    def _read(self, tokens: list[int]) -> None:
        """Let the model read certain tokens; the next choice follows from them."""
        sequence = self._sequence
        tokens = [*self._again, *tokens]
        self._again = []
        self._logits = sequence.feed(self._model, tokens)[-1:]
        self._sampled = None
        compute(self._logits)
        sequence.note_read(tokens)

    def _write_certain(self, tokens: list[int]) -> None:
        tokens = tokens[: self._room(0)]
        if tokens:
            self._read(tokens)
            self._tell(tokens)
            self._sequence.write(tokens)

    def _accept(self, token: int) -> None:
        if self._guide is not None:
            self._guide.accept([token])

    def _mask(self) -> TokenMask | None:
        if self._guide is None:
            return None
        allowed = self._guide.mask()
        # The guide may reuse its buffer before this mask is applied.
        return None if allowed is None else allowed.copy()

    def _forced(self) -> list[int]:
        """Return what the grammar forces next, as accepted."""
        if self._guide is None:
            return []
        tokens: list[int] = []
        while forced := self._guide.forced():
            tokens += forced
            self._guide.accept(forced)
        return tokens

    def _room(self, decided: int) -> int:
        sequence = self._sequence
        return max(0, sequence.generation.request.max_tokens - sequence.output - decided)

    def _tell(self, tokens: list[int]) -> None:
        if self._drafting is not None:
            self._drafting.extend(tokens)
