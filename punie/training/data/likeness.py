"""How alike two conversations are: shared word shingles, found fast with MinHash.

A conversation is the set of all its runs of three words. Two are near duplicates if their sets
share at least a given part of their union (the Jaccard index). Candidates come from MinHash
signatures in bands (A. Z. Broder, 1997; J. Leskovec, A. Rajaraman, J. Ullman, Mining of Massive
Datasets, chapter 3), and each is then judged by its true index, so nothing is called alike that is
not. A pair exactly at the threshold is found with a chance of at least 99 %, more alike ones nearly
always; the same pairs each time.
"""

import functools
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from punie.training.data.example import Example
from punie.training.hashing import value_hash

SHINGLE_WORDS = 3
_SIGNATURE = 128
_SURE = 0.99
_MARGIN = 0.2
"""The index that signatures estimate is off by more than this in one of a million pairs."""

_WORD = re.compile(r"\w+")
_RANDOM = np.frombuffer(hashlib.shake_256(b"MinHash").digest(16 * _SIGNATURE), "<u8")
_FACTORS = _RANDOM[:_SIGNATURE] | np.uint64(1)
_TERMS = _RANDOM[_SIGNATURE:]
_BASE = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)

Shingles = NDArray[np.uint32]
"""The hashes of a conversation's shingles, sorted, each once."""


def normalised(text: str) -> str:
    """Return a text's words in lower case: what is left if case, signs and spaces do not count."""
    return " ".join(_WORD.findall(text.casefold())) or text.strip()


def words_of(example: Example) -> list[str]:
    """Return all words of a conversation, what calls say included."""
    words: list[str] = []
    for message in example.messages:
        words.append(f"\0{message.role}")
        words += _WORD.findall(message.content.casefold())
        for call in message.tool_calls:
            words.append(f"\0{call.function.name}")
            for name, value in call.function.arguments.items():
                words.append(f"\0{name}")
                text = value if isinstance(value, str) else value_hash(value)
                words += _WORD.findall(text.casefold())
    return words


def shingles_of(words: Sequence[str]) -> Shingles:
    """Return the hashed shingles of some words; of fewer than three words, one of them all."""
    hashes = np.array([_word_hash(word) for word in words] or [0], np.uint64)
    run = min(SHINGLE_WORDS, len(hashes))
    mixed = np.zeros(len(hashes) - run + 1, np.uint64)
    for place in range(run):
        mixed = mixed * _BASE + hashes[place : len(hashes) - run + 1 + place]
    mixed = (mixed ^ (mixed >> np.uint64(29))) * _MIX
    return np.unique((mixed >> np.uint64(32)).astype(np.uint32))


def likeness(one: Shingles, other: Shingles) -> float:
    """Return the share of shingles that two conversations have in common, from 0 to 1."""
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / (len(one) + len(other) - common)


class NearDuplicates:
    """Conversations that were added, and which of them a new one is like.

    Args:
        threshold: from which likeness on, above 0 and at most 1.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._rows = _rows_of_band(threshold)
        self._buckets: list[dict[bytes, list[int]]] = [{} for _ in range(_SIGNATURE // self._rows)]
        self._signatures = np.empty((1024, _SIGNATURE), np.uint32)
        self._shingles: list[Shingles] = []

    def like(
        self, shingles: Shingles, wanted: Callable[[int], bool] | None = None
    ) -> Iterator[int]:
        """Yield the numbers of those that were added and are like this one, in order.

        With `wanted`, only of those for which it is true when their turn comes.
        """
        signature = _signature(shingles)
        near: set[int] = set()
        for bucket, key in zip(self._buckets, self._keys(signature), strict=True):
            near.update(bucket.get(key, ()))
        if not near:
            return
        numbers = np.array(sorted(near))
        estimates = (self._signatures[numbers] == signature).mean(axis=1)
        for number in numbers[estimates >= self._threshold - _MARGIN].tolist():
            if wanted is not None and not wanted(number):
                continue
            if likeness(self._shingles[number], shingles) >= self._threshold:
                yield number

    def add(self, shingles: Shingles) -> int:
        """Add a conversation and return its number, counted from 0."""
        number = len(self._shingles)
        if number == len(self._signatures):
            self._signatures = np.concatenate([self._signatures, np.empty_like(self._signatures)])
        signature = _signature(shingles)
        self._signatures[number] = signature
        self._shingles.append(shingles)
        for bucket, key in zip(self._buckets, self._keys(signature), strict=True):
            bucket.setdefault(key, []).append(number)
        return number

    def _keys(self, signature: NDArray[np.uint32]) -> list[bytes]:
        bands = len(self._buckets)
        used = signature[: bands * self._rows].reshape(bands, self._rows)
        return [band.tobytes() for band in used]


@functools.lru_cache(maxsize=200_000)
def _word_hash(word: str) -> int:
    digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _signature(shingles: Shingles) -> NDArray[np.uint32]:
    mixed = shingles.astype(np.uint64)[:, None] * _FACTORS[None, :] + _TERMS[None, :]
    lowest: NDArray[np.uint32] = ((mixed >> np.uint64(32)).min(axis=0)).astype(np.uint32)
    return lowest


def _rows_of_band(threshold: float) -> int:
    """Return the longest band with which pairs at the threshold are found almost surely."""
    longest = 1
    for rows in range(1, _SIGNATURE + 1):
        found = 1 - (1 - threshold**rows) ** (_SIGNATURE // rows)
        if found >= _SURE:
            longest = rows
    return longest
