"""Decoding of several responses in one pass per token.

Each row keeps its own sampler, guide and limits. Rows come and go between steps; their caches are
merged and taken out again with mlx-lm's batch caches.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx

from punie.models.mlx.decoding.sampling import compute, tokens_of
from punie.models.mlx.guidance.guide import TokenMask
from punie.models.mlx.guidance.masking import apply_mask
from punie.models.mlx.scheduling.sequence import Pending, TokenSequence


def can_batch(layers: list[Any]) -> bool:
    """Tell whether caches like these can be merged."""
    return all(hasattr(layer, "merge") for layer in layers)


@dataclass
class _Row:
    sequence: TokenSequence
    known: int | None
    certain: deque[int] = field(default_factory=deque)
    """Tokens that the grammar forces, accepted and not read yet."""

    def mask(self) -> TokenMask | None:
        guide = self.sequence.generation.request.guide
        return None if guide is None else guide.mask()

    def accept(self, token: int) -> None:
        guide = self.sequence.generation.request.guide
        if guide is None:
            return
        guide.accept([token])
        while forced := guide.forced():
            self.certain.extend(forced)
            guide.accept(forced)


class BatchDecoder:
    """Decodes its rows one token at a time, all in one pass."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._rows: list[_Row] = []
        self._layers: list[Any] = []
        self._logits: mx.array | None = None
        self._sampled: mx.array | None = None

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def sequences(self) -> list[TokenSequence]:
        """The responses in it, in the order of the rows."""
        return [row.sequence for row in self._rows]

    def join(self, sequence: TokenSequence, pending: Pending) -> None:
        """Add a response that is being written."""
        merged = [layer.merge([layer]) for layer in sequence.layers]
        if self._rows:
            for mine, other in zip(self._layers, merged, strict=True):
                mine.extend(other)
            assert self._logits is not None
            self._logits = mx.concatenate([self._logits, pending.logits])
        else:
            self._layers, self._logits = merged, pending.logits
        # The sequence's own layers are in the batch now; a copy is taken out when it leaves.
        sequence.slot.layers = []
        self._rows.append(_Row(sequence, pending.known, deque(pending.certain)))
        self._sampled = None

    def leave(self, sequence: TokenSequence) -> Pending:
        """Take a response out with its cache."""
        assert self._logits is not None
        index = self.sequences.index(sequence)
        sequence.slot.layers = [layer.extract(index) for layer in self._layers]
        mx.eval([layer.state for layer in sequence.slot.layers])
        row = self._rows.pop(index)
        pending = Pending(self._logits[index : index + 1], row.known, list(row.certain))
        keep = [other for other in range(len(self._rows) + 1) if other != index]
        if keep:
            rows = mx.array(keep)
            for layer in self._layers:
                layer.filter(rows)
            self._logits = self._logits[rows]
        else:
            self._layers, self._logits = [], None
        self._sampled = None
        return pending

    def step(self) -> None:
        """Decide and read one token in each row."""
        if self._sampled is None:
            self._sampled = self._sample(0)
        masks = [None if row.certain or row.known is not None else row.mask() for row in self._rows]
        settled = [row.certain or row.known is not None for row in self._rows]
        if not any(settled) and all(allowed is None for allowed in masks):
            sampled = self._sampled
            self._queue(sampled)
            tokens = tokens_of(sampled)
        else:
            tokens = self._decide(masks)
            self._queue(mx.array(tokens))
        for row, token in zip(self._rows, tokens, strict=True):
            if row.certain:
                row.certain.popleft()
            else:
                row.known = None
                row.accept(token)
            row.sequence.note_read([token])
            row.sequence.passes += 1
            row.sequence.write([token])

    def _queue(self, tokens: mx.array) -> None:
        logits: mx.array = self._model(tokens[:, None], cache=self._layers)
        self._logits = logits[:, -1, :]
        self._sampled = self._sample(1)
        compute(self._sampled)

    def _decide(self, masks: list[TokenMask | None]) -> list[int]:
        assert self._logits is not None
        assert self._sampled is not None
        chosen: list[mx.array] = []
        for index, (row, allowed) in enumerate(zip(self._rows, masks, strict=True)):
            if allowed is None:
                chosen.append(self._sampled[index : index + 1])
            else:
                logits = apply_mask(self._logits[index : index + 1], allowed[None])
                chosen.append(row.sequence.sampler.sample(logits, [row.sequence.output]))
        tokens = tokens_of(mx.concatenate(chosen))
        for index, row in enumerate(self._rows):
            if row.certain:
                tokens[index] = row.certain[0]
            elif row.known is not None:
                tokens[index] = row.known
        return tokens

    def _sample(self, ahead: int) -> mx.array:
        """Sample each row's next token; `ahead` tokens of each are decided and not counted yet."""
        assert self._logits is not None
        if all(row.sequence.sampler.greedy for row in self._rows):
            return mx.argmax(self._logits, axis=-1)
        return mx.concatenate(
            [
                row.sequence.sampler.sample(
                    self._logits[index : index + 1], [row.sequence.output + ahead]
                )
                for index, row in enumerate(self._rows)
            ]
        )
