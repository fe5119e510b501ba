"""Guessing tokens ahead, so that one pass of the model can check several of them.

A guess never changes what is written: the model's own choice is taken at every position
(`punie.models.mlx.decoding.sampling`), a draft only makes it cheaper to come by.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

LONGEST_DRAFT = 16
"""Tokens; longer ones are rarely right to the end and cost a wide pass."""

_SHORTEST_MATCH = 2
_CANDIDATES = 8
_LONGEST_MATCH = 32


@dataclass(frozen=True)
class Draft:
    """Proposed tokens; `evidence` sorts drafts by how much speaks for them."""

    tokens: tuple[int, ...]
    evidence: int


NO_DRAFT = Draft((), 0)


class Drafter(Protocol):
    """Proposes what may come next; told of every token that is certain."""

    def extend(self, tokens: Sequence[int]) -> None:
        """Take certain tokens, the prompt first."""

    def evidence(self) -> int:
        """Return how much speaks for the draft that would be proposed now; 0 for none."""

    def propose(self, limit: int) -> Draft:
        """Return at most `limit` tokens that may follow what is certain."""


class PromptLookup:
    """Proposes what followed the last tokens where they stood before.

    Edits and quotes copy: the old text of a replacement, a path, a line of a tool's result. The
    method is prompt lookup decoding (Saxena 2023); of the latest places with the same last two
    tokens the one with the longest common history is taken, and the latest of equals. Places
    are found as in LZ77: by pair, each linked to the one before.
    """

    def __init__(self) -> None:
        self._tokens: list[int] = []
        self._latest: dict[tuple[int, int], int] = {}
        self._earlier: list[int] = []  # for each place, the one before with the same pair, or -1
        self._found = (-1, 0, 0)

    def extend(self, tokens: Sequence[int]) -> None:
        """Take certain tokens."""
        if not tokens:
            return
        last = self._tokens[-1] if self._tokens else -1
        place = len(self._tokens)
        self._tokens.extend(tokens)
        latest, earlier = self._latest, self._earlier
        for token in tokens:
            pair = (last, token)
            earlier.append(latest.get(pair, -1))
            latest[pair] = place
            place += 1
            last = token

    def evidence(self) -> int:
        """Return how many last tokens stand in the text before, with the same order."""
        return self._find()[1]

    def propose(self, limit: int) -> Draft:
        """Return a draft; its evidence is the number of tokens that match."""
        start, length = self._find()
        if length == 0:
            return NO_DRAFT
        return Draft(tuple(self._tokens[start : start + limit]), length)

    def _find(self) -> tuple[int, int]:
        """Return where the best earlier place goes on and how many tokens match there."""
        size = len(self._tokens)
        if self._found[0] != size:
            self._found = (size, *self._search(size))
        return self._found[1:]

    def _search(self, size: int) -> tuple[int, int]:
        best, longest = -1, 0
        place = self._earlier[-1] if size > _SHORTEST_MATCH else -1
        for _ in range(_CANDIDATES):
            if place < 1:
                break
            length = self._common_history(place, size)
            if length > longest:
                best, longest = place, length
            place = self._earlier[place]
        return best + 1, longest

    def _common_history(self, place: int, size: int) -> int:
        """Return how many tokens up to `place` equal the last ones; two are known to."""
        tokens = self._tokens
        length, most = _SHORTEST_MATCH, min(place + 1, _LONGEST_MATCH)
        while length < most and tokens[place - length] == tokens[size - 1 - length]:
            length += 1
        return length


_EVIDENCE_LEVELS = (2, 4, 8, 16)
_WEIGHT = 0.15
_FIRST_SLOPE = 0.03
_FIRST_REST = 64
_LONGEST_REST = 2048
_LEAST_GAIN = 1.02
_PLAIN_FIRST = 4


@dataclass
class _Acceptance:
    """How often drafted tokens of one level of evidence were right, as a moving average."""

    rate: float
    passed_over: int = 0
    rest: int = _FIRST_REST
    """Drafts that are passed over before one is tried again; doubles while that fails."""

    def record(self, proposed: int, accepted: int) -> None:
        # One failure ends a draft: what stands behind it was never tested.
        tried_again = self.passed_over >= self.rest
        if tried_again and accepted == 0:
            self.rest = min(2 * self.rest, _LONGEST_REST)
        elif accepted > 0:
            self.rest = _FIRST_REST
        self.passed_over = 0
        tested = accepted + (1 if accepted < proposed else 0)
        for number in range(tested):
            right = 1.0 if number < accepted else 0.0
            self.rate += _WEIGHT * (right - self.rate)


@dataclass
class DraftControl:
    """Decides how long drafts may be, from what they gain and what a wider pass costs.

    A pass that checks `k` tokens takes `1 + slope * k` times the time of a plain step; with
    acceptance rate `a` it yields `1 + a + ... + a**k` tokens. The best `k` is taken; where that is
    none, drafting rests and is tried again later.
    """

    slope: float = _FIRST_SLOPE
    plain_seconds: float = 0.0
    plain_steps: int = 0
    levels: list[_Acceptance] = field(
        default_factory=lambda: [_Acceptance(rate) for rate in (0.5, 0.65, 0.8, 0.9)]
    )

    def limit(self, evidence: int) -> int:
        """Return how many tokens of a draft with this evidence are worth checking."""
        if self.plain_steps < _PLAIN_FIRST:
            return 0  # Nothing to compare with yet.
        level = self.levels[_level(evidence)]
        best, gain = 0, _LEAST_GAIN
        expected, chance = 1.0, 1.0
        for length in range(1, LONGEST_DRAFT + 1):
            chance *= level.rate
            expected += chance
            value = expected / (1.0 + self.slope * length)
            if value > gain:
                best, gain = length, value
        return 1 if best == 0 and level.passed_over >= level.rest else best

    def pass_over(self, evidence: int) -> None:
        """Count a draft that was not worth a check; after many of them one is tried again."""
        self.levels[_level(evidence)].passed_over += 1

    def record(self, draft: Draft, accepted: int, seconds: float) -> None:
        """Learn from one check of a draft that took `seconds`."""
        level = self.levels[_level(draft.evidence)]
        level.record(len(draft.tokens), accepted)
        if self.plain_seconds > 0:
            measured = max(0.0, seconds / self.plain_seconds - 1.0) / len(draft.tokens)
            # A hiccup of the machine is not what a wider pass costs.
            measured = min(measured, 4 * self.slope + 0.05)
            self.slope += _WEIGHT * (measured - self.slope)

    def record_plain(self, seconds: float) -> None:
        """Learn what a step without a draft takes."""
        self.plain_steps += 1
        if self.plain_steps <= _PLAIN_FIRST:
            # The first steps of a process also compile; the quickest of them is taken.
            self.plain_seconds = min(seconds, self.plain_seconds or seconds)
        else:
            seconds = min(seconds, 4 * self.plain_seconds)
            self.plain_seconds += _WEIGHT * (seconds - self.plain_seconds)


def _level(evidence: int) -> int:
    return next(
        (index for index, bound in enumerate(_EVIDENCE_LEVELS) if evidence <= bound),
        len(_EVIDENCE_LEVELS) - 1,
    )
