"""Keys and values of earlier prompts, kept so that a turn prefills only what is new.

Belongs to the engine's thread, like everything that holds MLX arrays.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlx_lm.models.cache import can_trim_prompt_cache, trim_prompt_cache

_BLOCK = 1024
_REWRITTEN_TAIL = 16
"""Tokens at a prompt's end that a template may write differently when the session goes on."""


@dataclass
class Slot:
    """A cache and the tokens it holds; the first `prompt_length` of them were a prompt."""

    tokens: list[int]
    cache: list[Any]
    prompt_length: int

    @property
    def nbytes(self) -> int:
        """Memory of the arrays, in bytes."""
        return sum(int(layer.nbytes) for layer in self.cache if not layer.empty())


def common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    """Return how many first tokens two sequences share."""
    length = min(len(left), len(right))
    start = 0
    while start < length and left[start : start + _BLOCK] == right[start : start + _BLOCK]:
        start += _BLOCK
    start = min(start, length)
    end = min(start + _BLOCK, length)
    while start < end and left[start] == right[start]:
        start += 1
    return start


class PrefixCache:
    """A few slots, the least recently used dropped first.

    At most `max_slots` slots and about `max_bytes` bytes are kept; the newest always stays.
    """

    def __init__(self, max_slots: int, max_bytes: int) -> None:
        self._max_slots = max_slots
        self._max_bytes = max_bytes
        self._slots: list[Slot] = []  # least recently used first

    def __len__(self) -> int:
        return len(self._slots)

    def take(self, tokens: list[int]) -> Slot | None:
        """Return a slot that holds the longest usable beginning of `tokens`, and nothing else.

        At least the last token is left to prefill. The slot is the caller's until `put`. A
        session that goes on gets its own slot; where a prompt only shares a beginning with
        another session's, that one keeps its slot and the caller gets a copy.
        """
        best: Slot | None = None
        best_length = 0
        for slot in self._slots:
            length = min(common_prefix(slot.tokens, tokens), len(tokens) - 1)
            if length < len(slot.tokens) and not can_trim_prompt_cache(slot.cache):
                continue
            if length > best_length or (length == best_length and length > 0):
                best, best_length = slot, length
        if best is None:
            return None
        if best_length >= best.prompt_length - _REWRITTEN_TAIL:
            self._slots.remove(best)
            taken = best
        else:
            taken = Slot(list(best.tokens), copy.deepcopy(best.cache), best.prompt_length)
        surplus = len(taken.tokens) - best_length
        if surplus:
            trimmed: Any = trim_prompt_cache(taken.cache, surplus)
            if trimmed != surplus:
                return None
            del taken.tokens[best_length:]
        return taken

    def put(self, slot: Slot) -> None:
        """Keep a slot as the most recently used one; drop others beyond the limits."""
        if not slot.tokens:
            return
        slot.prompt_length = min(slot.prompt_length, len(slot.tokens))
        # A slot that is a mere beginning of this one can serve nothing better than this one can.
        if can_trim_prompt_cache(slot.cache):
            self._slots = [
                other
                for other in self._slots
                if common_prefix(other.tokens, slot.tokens) < len(other.tokens)
            ]
        self._slots.append(slot)
        while len(self._slots) > 1 and (
            len(self._slots) > self._max_slots
            or sum(kept.nbytes for kept in self._slots) > self._max_bytes
        ):
            del self._slots[0]

    def clear(self) -> None:
        """Drop everything."""
        self._slots.clear()
