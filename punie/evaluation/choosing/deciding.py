"""Which models go on behind the short stage, and which one is recommended in the end."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from punie.evaluation.choosing.candidates import Candidate, LeftOut, Look
from punie.evaluation.choosing.stage_runs import StageRun
from punie.evaluation.intervals import Paired
from punie.evaluation.tracker.comparing import compare, holm
from punie.models.memory import gigabytes

_OF_NO_USE = 0.1
"""Nobody works with a model that surely does less than one short task in ten, however the full
stage came out; with it not even the best of several is worth the hours."""
_LEVEL = 0.05
_MARGIN = 0.05
"""The share of items that a smaller model may lose at most to count as equally good. That no
difference was found is not enough: with few items none ever is."""


@dataclass(frozen=True)
class Standing:
    """How far a model has come: what its files tell, its runs, and why it was left out, if so."""

    candidate: Candidate
    look: Look
    short: StageRun | None = None
    full: StageRun | None = None
    left_out: LeftOut | None = None


@dataclass(frozen=True)
class Against:
    """A model beside another one, on the items of the full stage.

    `p` is adjusted for the number of models that are compared with that one (Holm's method).
    """

    candidate: Candidate
    paired: Paired
    p: float

    @property
    def is_worse(self) -> bool:
        """Whether it is worse than chance explains (at 5 %)."""
        return self.paired.difference < 0 and self.p < _LEVEL

    @property
    def is_alike(self) -> bool:
        """Whether it is as good, all but surely (at 95 %), but for a few items."""
        return not self.is_worse and self.paired.low > -_MARGIN

    def __str__(self) -> str:
        one = self.paired
        return (
            f"{one.difference * 100:+.1f} points, {one.low * 100:+.1f} to {one.high * 100:+.1f}, "
            f"p = {self.p:.2g}"
        )


@dataclass(frozen=True)
class Recommendation:
    """One model with the reason, or the reason why there is none.

    `against` has the other models of the full stage beside the one that solved most.
    """

    candidate: Candidate | None
    reason: str
    against: tuple[Against, ...] = ()


def left_out_of_full(
    standings: Sequence[Standing], most_seconds: float | None
) -> Mapping[str, LeftOut]:
    """Return which models are not worth the full stage, by name, after all did the short one."""
    found: dict[str, LeftOut] = {}
    runs: dict[str, StageRun] = {}
    for each in standings:
        if each.short is None or each.left_out is not None:
            continue
        name = each.candidate.name
        if most_seconds is not None and each.short.seconds > most_seconds:
            found[name] = LeftOut(
                "slow",
                f"Half of its items took {each.short.seconds:.3g} seconds or more, and "
                f"{most_seconds:g} are the limit.",
            )
        else:
            runs[name] = each.short
    best = max(runs, key=lambda name: runs[name].solved.low, default="")
    for name, run in runs.items():
        solved, most = run.solved, runs[best].solved
        if solved.high < _OF_NO_USE:
            why = f"less than {_OF_NO_USE:.0%} whatever chance did"
        elif solved.high < most.low:
            why = f"and {best} at least {most.low:.1%}"
        else:
            continue
        text = (
            f"It solved {solved.hits} of {solved.of} short items, at most {solved.high:.1%}, {why}."
        )
        found[name] = LeftOut("hopeless", text)
    return found


def against(first: Standing, standings: Sequence[Standing]) -> tuple[Against, ...]:
    """Compare models with one of them, item by item; those that did not come so far are left out.

    Raises:
        EvaluationError: their runs have nothing in common.
    """
    if first.full is None:
        return ()
    others = [each for each in standings if each is not first and each.full is not None]
    pairs = []
    for each in others:
        assert each.full is not None
        both = first.full, each.full
        found = compare(both[0].record, both[0].results, both[1].record, both[1].results)
        pairs.append(found.overall.paired)
    adjusted = holm([one.p for one in pairs])
    return tuple(
        Against(each.candidate, one, p)
        for each, one, p in zip(others, pairs, adjusted, strict=True)
    )


def recommend(standings: Sequence[Standing]) -> Recommendation:
    """Return the smallest of the models that are as good as the one that solved most."""
    ended = [each for each in standings if each.full is not None and each.left_out is None]
    if not ended:
        return Recommendation(None, "No model came through all of it, so none is recommended.")
    best = max(ended, key=lambda each: (_share(each), -_size(each)))
    beside = against(best, ended)
    if not beside:
        return Recommendation(
            best.candidate, f"It alone came through all of it, and solved {_solved(best)}."
        )
    alike = {one.candidate.name for one in beside if one.is_alike} | {best.candidate.name}
    chosen = min(
        (each for each in ended if each.candidate.name in alike),
        key=lambda each: (_size(each), -_share(each)),
    )
    return Recommendation(chosen.candidate, _reason(chosen, best, beside), beside)


def _reason(chosen: Standing, best: Standing, beside: Sequence[Against]) -> str:
    parts = []
    if chosen is best:
        parts.append(f"It solved {_solved(best)}, and no other more.")
    for one in beside:
        if one.candidate is chosen.candidate:
            parts.append(
                f"It solved {_solved(chosen)} and {best.candidate.name} {_solved(best)}: not to be "
                f"told apart ({one}), and this is the smaller one, {_sizes(chosen, best)}."
            )
    than = "it" if chosen is best else best.candidate.name
    others = [one for one in beside if one.candidate is not chosen.candidate]
    for verdict, found in (
        (f"Worse than {than}", [one for one in others if one.is_worse]),
        (f"As good as {than}, and no smaller", [one for one in others if one.is_alike]),
        (
            f"Whether worse than {than} so few items do not tell (--limit gives more)",
            [one for one in others if not one.is_worse and not one.is_alike],
        ),
    ):
        if found:
            parts.append(
                f"{verdict}: {', '.join(f'{one.candidate.name} ({one})' for one in found)}."
            )
    return " ".join(parts)


def _sizes(one: Standing, other: Standing) -> str:
    small, large = (
        "of unknown size" if each.look.size is None else gigabytes(each.look.size)
        for each in (one, other)
    )
    return f"{small} and {large}"


def _share(standing: Standing) -> float:
    return 0.0 if standing.full is None else standing.full.solved.value


def _size(standing: Standing) -> float:
    """Return the bytes of a model's weights; one on a server is nobody's smaller one."""
    return math.inf if standing.look.size is None else standing.look.size


def _solved(standing: Standing) -> str:
    assert standing.full is not None
    return str(standing.full.solved)
