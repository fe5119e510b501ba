"""Reading prompts: in chunks whose size follows from how long a person may wait for a cancel."""

import time
from collections.abc import Callable
from typing import Any

import mlx.core as mx

from punie.models.mlx.scheduling.sequence import TokenSequence

SMALLEST_CHUNK = 32
LARGEST_CHUNK = 2048
_FIRST_CHUNK = 256
_SECONDS = 0.4
"""What a chunk may take: the wait for a cancel, and between two reports of progress."""
_SECONDS_BESIDE_OTHERS = 0.1
"""The same while others are decoding: a pause in the text they write."""


class ChunkSize:
    """Learns how fast the model reads and sizes chunks by time, in powers of two."""

    def __init__(self) -> None:
        self._rate = _FIRST_CHUNK / _SECONDS  # tokens per second

    def tokens(self, fits: Callable[[int], bool], *, beside_others: bool) -> int:
        """Return how many tokens to read next; `fits` tells whether so many fit into memory."""
        wanted = self._rate * (_SECONDS_BESIDE_OTHERS if beside_others else _SECONDS)
        size = SMALLEST_CHUNK
        while size * 2 <= min(wanted, LARGEST_CHUNK) and fits(size * 2):
            size *= 2
        return size

    def record(self, tokens: int, seconds: float) -> None:
        """Learn from a chunk; small ones tell little about the speed of large ones."""
        if tokens >= SMALLEST_CHUNK and seconds > 0:
            self._rate += 0.5 * (tokens / seconds - self._rate)


def read_chunk(model: Any, sequence: TokenSequence, size: int, stop: int | None) -> float:
    """Let the model read up to `size` tokens, not beyond position `stop`; return the seconds.

    The prompt's last token is left for the decoder, which needs its logits.
    """
    begin = time.perf_counter()
    rest = len(sequence.unread) - 1
    if stop is not None:
        rest = min(rest, stop - len(sequence.slot.tokens))
    chunk, sequence.unread = sequence.unread[: min(size, rest)], sequence.unread[min(size, rest) :]
    # The logits are never evaluated, so that only the cache is computed.
    model(mx.array(chunk)[None], cache=sequence.layers)
    mx.eval([layer.state for layer in sequence.layers])
    mx.clear_cache()
    sequence.note_read(chunk)
    sequence.report_prefilled(len(chunk))
    return time.perf_counter() - begin
