"""Choosing tokens from logits, one random stream for each response.

The noise for the token at output position `i` comes from a key made of the request's seed and `i`
alone (Gumbel-max sampling). So a token depends only on its own logits, its seed and its place: not
on what else is in the batch, and not on whether a draft proposed it. A draft that uses the same
noise agrees with the model as often as their distributions allow, and taking the model's own
choice everywhere keeps its distribution exactly: this is the drafter-invariant speculative
decoding of Daliri, Musco and Suresh, "Coupling without Communication" (arXiv:2408.07978).
"""

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx

from punie.models.catalog import read_json_object

_SEED_MASK = (1 << 63) - 1
_POSITION_STRIDE = 0x9E3779B97F4A7C15
"""The golden ratio in 64 bits: keys of neighbouring positions share nothing."""


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen; temperature 0 takes the likeliest.

    Of all tokens `top_k` (0: all) keeps that many, of these `min_p` the ones at least that probable
    relative to the likeliest, and of these `top_p` the fewest that hold so much probability.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None


def published_sampling(directory: Path) -> Sampling:
    """Return how the model in `directory` should be sampled, as its generation_config.json says.

    Without the file, or where the file says so, the likeliest token is taken.
    """
    file = directory / "generation_config.json"
    values = read_json_object(file) if file.is_file() else {}
    if not values.get("do_sample"):
        return Sampling()
    return Sampling(
        temperature=_number(values, "temperature", 1.0),
        top_p=_number(values, "top_p", 1.0),
        top_k=int(_number(values, "top_k", 0)),
        min_p=_number(values, "min_p", 0.0),
    )


def _number(values: Mapping[str, Any], name: str, default: float) -> float:
    value = values.get(name)
    return float(value) if isinstance(value, (int, float)) and value >= 0 else default


class Sampler:
    """Samples the tokens of one response."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        seed = secrets.randbits(63) if sampling.seed is None else sampling.seed
        self._seed = seed & _SEED_MASK

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self._sampling.temperature <= 0

    def sample(self, logits: mx.array, positions: Sequence[int]) -> mx.array:
        """Return a token for each row of `logits` (N, V); `positions` count output tokens."""
        if self.greedy:
            return mx.argmax(logits, axis=-1)
        scores = logits.astype(mx.float32)
        noise = mx.stack([self._noise(position, scores.shape[-1]) for position in positions])
        candidates = None
        if 0 < self._sampling.top_k < scores.shape[-1]:
            candidates = mx.argpartition(scores, -self._sampling.top_k, axis=-1)
            candidates = candidates[..., -self._sampling.top_k :]
            scores = mx.take_along_axis(scores, candidates, axis=-1)
            noise = mx.take_along_axis(noise, candidates, axis=-1)
        scores = self._filter(scores)
        chosen = mx.argmax(scores * (1.0 / self._sampling.temperature) + noise, axis=-1)
        if candidates is None:
            return chosen
        return mx.take_along_axis(candidates, chosen[..., None], axis=-1).squeeze(-1)

    def _noise(self, position: int, size: int) -> mx.array:
        number = (self._seed + (position + 1) * _POSITION_STRIDE) & ((1 << 64) - 1)
        return mx.random.gumbel((size,), key=mx.random.key(number))

    def _filter(self, logits: mx.array) -> mx.array:
        if self._sampling.min_p > 0:
            best = mx.max(logits, axis=-1, keepdims=True)
            floor = best + math.log(min(self._sampling.min_p, 1.0))
            logits = mx.where(logits < floor, -mx.inf, logits)
        if 0 < self._sampling.top_p < 1:
            floor = _nucleus_floor(logits, self._sampling.top_p)
            logits = mx.where(logits < floor, -mx.inf, logits)
        return logits


def _nucleus_floor(logits: mx.array, top_p: float) -> mx.array:
    """Return the smallest logit of the smallest set that holds `top_p` of the probability."""
    ordered = mx.sort(logits, axis=-1)
    probabilities = mx.softmax(ordered, axis=-1)
    above = mx.cumsum(probabilities, axis=-1, reverse=True, inclusive=False)
    first = (above >= top_p).sum(axis=-1, keepdims=True)
    return mx.take_along_axis(ordered, first, axis=-1)


def compute(array: mx.array) -> None:
    """Queue the computation of an array without waiting for it."""
    mx.async_eval(array)  # type: ignore[no-untyped-call]


def token_of(sampled: mx.array) -> int:
    """Wait for a sampled token (1,) and return it."""
    return tokens_of(sampled)[0]


def tokens_of(sampled: mx.array) -> list[int]:
    """Wait for sampled tokens (N,) and return them."""
    tokens: list[int] = sampled.tolist()  # type: ignore[assignment]
    return tokens
