"""How a run is to be done, and which attempts at which items that comes to."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from random import Random
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from punie.agent.events import Thinking
from punie.evaluation.errors import EvaluationError
from punie.evaluation.session import Conditions
from punie.evaluation.suite import Suite


class RunOptions(BaseModel):
    """How a run is to be done.

    Attributes:
        seeds: of the sampling; every item is done with each. Without sampling they do not matter.
        attempts: tries at each item with each seed.
        temperature: 0 takes the likeliest token always; None is as the model's files say.
        limit: items of each suite at most, spread evenly over it.
        items: patterns of items, such as `read/*`; all if empty.
        guided: whether the grammar holds calls, as in the product.
        thinking: whether and how hard the model thinks; None leaves that to the model.
        max_requests: model calls of a turn, in place of what an item may take.
        max_tokens: tokens of one answer, likewise.
        seconds: of one item, if that is less than it may take.
        draft_model: a reference of a draft model; None for none.
        parallel: sessions at a time on one engine; changes only how fast it goes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    attempts: int = Field(default=1, ge=1, le=100)
    temperature: float | None = Field(default=0.0, ge=0.0, le=2.0)
    limit: int | None = Field(default=None, ge=1)
    items: tuple[str, ...] = ()
    guided: bool = True
    thinking: Thinking | None = None
    max_requests: int | None = Field(default=None, ge=1, le=1_000)
    max_tokens: int | None = Field(default=None, ge=1, le=131_072)
    seconds: float | None = Field(default=None, gt=0)
    draft_model: str | None = None
    parallel: int = Field(default=8, ge=1, le=64)

    @model_validator(mode="after")
    def _tries_differ(self) -> Self:
        if self.temperature == 0 and (self.attempts > 1 or len(self.seeds) > 1):
            raise ValueError("several seeds or attempts are all the same at temperature 0")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("a seed is named twice")
        return self

    def conditions(self, seed: int | None) -> Conditions:
        """Return what a session is held to whose sampling begins with this seed."""
        return Conditions(
            temperature=self.temperature,
            seed=seed,
            thinking=self.thinking,
            max_requests=self.max_requests,
            max_tokens=self.max_tokens,
            seconds=self.seconds,
        )


@dataclass(frozen=True)
class Attempt:
    """One try at an item; `seed` is None where nothing is sampled."""

    suite: str
    item: str
    seed: int | None
    number: int

    def __str__(self) -> str:
        return f"{self.suite} {self.item}"

    @property
    def sampling_seed(self) -> int | None:
        """What its sampling begins with, which no other attempt's does."""
        if self.seed is None:
            return None
        return Random(f"{self.seed}:{self.suite}:{self.item}:{self.number}").randrange(2**31)


def plan(suites: Sequence[Suite], options: RunOptions) -> list[Attempt]:
    """Return all attempts in the order in which their results are told.

    Raises:
        EvaluationError: a suite is named twice, cannot be read, or nothing is to be done.
    """
    names = [suite.name for suite in suites]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise EvaluationError(f"The suite {twice} is named twice.")
    seeds = options.seeds if options.temperature != 0 else (None,)
    found = [
        Attempt(suite.name, item, seed, number)
        for suite in suites
        for item in _chosen(suite.names(), options)
        for seed in seeds
        for number in range(options.attempts)
    ]
    if not found:
        raise EvaluationError(
            f"No item of {', '.join(names) or 'no suite'} is like {', '.join(options.items)}."
        )
    return found


def _chosen(names: Sequence[str], options: RunOptions) -> list[str]:
    if options.items:
        names = [n for n in names if any(fnmatchcase(n, like) for like in options.items)]
    if options.limit is None or options.limit >= len(names):
        return list(names)
    return [names[place * len(names) // options.limit] for place in range(options.limit)]
