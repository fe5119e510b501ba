"""Two runs over the same items: what was gained and lost, and whether chance explains it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from punie.evaluation.errors import EvaluationError
from punie.evaluation.intervals import Paired, Rate, paired, rate
from punie.evaluation.results import Result
from punie.evaluation.run_record import RunRecord, percentiles

_LEVEL = 0.05
AT_ONCE = "parallel"
"""The option that changes only how fast a run goes."""
_Key = tuple[str, str]
"""Suite and name of an item."""


@dataclass(frozen=True)
class Change:
    """What changed in a suite, in one kind of its items, or in all suites together.

    Attributes:
        suite: the suite's name, "" for all together.
        kind: the kind, "" for all.
        before, after: the items that were right in each run.
        paired: what changed, item by item.
        p: as in `paired`, for a suite adjusted for the number of suites by Holm's method.
        gained, lost: the items, as `SUITE ITEM`.
    """

    suite: str
    kind: str
    before: Rate
    after: Rate
    paired: Paired
    p: float
    gained: tuple[str, ...]
    lost: tuple[str, ...]

    @property
    def is_worse(self) -> bool:
        """Whether it is worse than chance explains (at 5 %)."""
        return self.paired.difference < 0 and self.p < _LEVEL

    @property
    def is_better(self) -> bool:
        """Whether it is better than chance explains (at 5 %)."""
        return self.paired.difference > 0 and self.p < _LEVEL


@dataclass(frozen=True)
class Ratio:
    """A figure of both runs; `value` is the second divided by the first, None where that is 0."""

    before: float
    after: float

    @property
    def value(self) -> float | None:
        """The second in units of the first."""
        return self.after / self.before if self.before > 0 else None


@dataclass(frozen=True)
class Comparison:
    """Two runs, item by item.

    Attributes:
        before, after: the runs.
        check: which check is compared; by its soft column if `soft`.
        overall: all suites together.
        suites: one change for each suite.
        kinds: one for each kind of each suite that has several; not tested for significance, as
            they are too many.
        ratios: by name, over the compared items; tokens per second and memory over whole runs.
        warnings: what makes the runs less comparable or explains a change, in sentences.
    """

    before: RunRecord
    after: RunRecord
    check: str
    soft: bool
    overall: Change
    suites: tuple[Change, ...]
    kinds: tuple[Change, ...]
    ratios: Mapping[str, Ratio]
    warnings: tuple[str, ...]

    @property
    def regressions(self) -> tuple[str, ...]:
        """What got worse than chance explains: suites by name, and "" for all together."""
        return tuple(one.suite for one in (*self.suites, self.overall) if one.is_worse)


def compare(
    before: RunRecord,
    results_before: Sequence[Result],
    after: RunRecord,
    results_after: Sequence[Result],
    *,
    check: str = "solved",
    soft: bool = False,
) -> Comparison:
    """Compare two runs over the items that both did, in suites of which both had the same version.

    An item is one case, however often it was tried: it is right if more than half of its tries are,
    since tries of one item are not independent of each other.

    Raises:
        EvaluationError: it is one run, or they have nothing in common.
    """
    if before.id == after.id:
        raise EvaluationError(f"Both are the run {before.id}; name two.")
    warnings: list[str] = []
    common = _common_suites(before, after, warnings)
    first, second = (
        _right_items(results, common, check, soft) for results in (results_before, results_after)
    )
    shared = [key for key in first if key in second]
    if not shared:
        raise EvaluationError(
            f"No item was checked for {check!r} in both runs; `punie track show` lists the checks."
        )
    chosen = set(shared)
    tried_before, tried_after = (
        [each for each in results if (each.suite, each.item) in chosen]
        for results in (results_before, results_after)
    )
    kinds = {(each.suite, each.item): each.kind for each in tried_before}
    warnings += _cautions(before, after, len(set(first) ^ set(second)), check)
    warnings += _troubles(before, tried_before) + _troubles(after, tried_after)
    suites = [
        _change(name, "", [key for key in shared if key[0] == name], first, second)
        for name in common
        if any(key[0] == name for key in shared)
    ]
    adjusted = holm([one.p for one in suites])
    return Comparison(
        before=before,
        after=after,
        check=check,
        soft=soft,
        overall=_change("", "", shared, first, second),
        suites=tuple(replace(one, p=p) for one, p in zip(suites, adjusted, strict=True)),
        kinds=tuple(_of_kinds(common, shared, kinds, first, second)),
        ratios=_ratios(before, tried_before, after, tried_after),
        warnings=tuple(warnings),
    )


def holm(values: Sequence[float]) -> list[float]:
    """Return p values adjusted for their number, in the same order (S. Holm, 1979)."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    adjusted = [0.0] * len(values)
    largest = 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * values[place]))
        adjusted[place] = largest
    return adjusted


def _common_suites(before: RunRecord, after: RunRecord, warnings: list[str]) -> list[str]:
    theirs = {suite.name: suite.version for suite in after.suites}
    common = []
    other = []
    for suite in before.suites:
        version = theirs.pop(suite.name, None)
        if version == suite.version:
            common.append(suite.name)
        elif version is None:
            other.append(suite.name)
        else:
            warnings.append(
                f"{suite.name} is left out: version {suite.version} in the first run and "
                f"{version} in the second."
            )
    alone = [*other, *theirs]
    if not common:
        told = " ".join(warnings) or "They have no suite in common."
        raise EvaluationError(f"The runs {before.id} and {after.id} cannot be compared. {told}")
    if alone:
        warnings.append(f"Only one of the runs has {', '.join(alone)}.")
    return common


def _right_items(
    results: Iterable[Result], suites: Sequence[str], check: str, soft: bool
) -> dict[_Key, bool]:
    """Return whether each item that the check applies to is right in more than half of its tries.

    The items come in the order of the suites.
    """
    tries: dict[_Key, list[bool]] = {}
    for result in results:
        found = result.verdict.checks.get(check)
        if found is not None and result.suite in suites:
            right = found.soft if soft else found.strict
            tries.setdefault((result.suite, result.item), []).append(right)
    place = {name: at for at, name in enumerate(suites)}
    return {
        key: 2 * sum(tries[key]) > len(tries[key])
        for key in sorted(tries, key=lambda key: place[key[0]])
    }


def _change(
    suite: str,
    kind: str,
    keys: Sequence[_Key],
    before: Mapping[_Key, bool],
    after: Mapping[_Key, bool],
) -> Change:
    found = paired([before[key] for key in keys], [after[key] for key in keys])
    return Change(
        suite=suite,
        kind=kind,
        before=rate(sum(before[key] for key in keys), len(keys)),
        after=rate(sum(after[key] for key in keys), len(keys)),
        paired=found,
        p=found.p,
        gained=tuple(" ".join(key) for key in keys if after[key] and not before[key]),
        lost=tuple(" ".join(key) for key in keys if before[key] and not after[key]),
    )


def _of_kinds(
    suites: Sequence[str],
    shared: Sequence[_Key],
    kinds: Mapping[_Key, str],
    before: Mapping[_Key, bool],
    after: Mapping[_Key, bool],
) -> Iterable[Change]:
    for suite in suites:
        parts: dict[str, list[_Key]] = {}
        for key in shared:
            if key[0] == suite:
                parts.setdefault(kinds[key], []).append(key)
        if len(parts) > 1:
            for kind, keys in sorted(parts.items()):
                yield _change(suite, kind, keys, before, after)


def differing_options(before: RunRecord, after: RunRecord) -> list[str]:
    """Return the names of the options that two runs did not have alike."""
    names = sorted({*before.options, *after.options})
    return [name for name in names if before.options.get(name) != after.options.get(name)]


def _cautions(before: RunRecord, after: RunRecord, alone: int, check: str) -> list[str]:
    found = []
    if alone:
        items = "1 item is" if alone == 1 else f"{alone} items are"
        found.append(f"{items} left out: checked for {check!r} in only one of the runs.")
    differing = {
        name: f"{before.options.get(name)} and {after.options.get(name)}"
        for name in differing_options(before, after)
    }
    at_once = differing.pop(AT_ONCE, None)
    if differing:
        told = "; ".join(f"{name} {values}" for name, values in differing.items())
        found.append(f"The options differ: {told}.")
    if at_once is not None:
        found.append(f"{at_once} sessions ran at once, so the ratios of times tell of that too.")
    if before.machine != after.machine:
        found.append("The machines differ, so the ratios tell of them too.")
    if before.model.weights is not None and before.model.weights == after.model.weights:
        found.append("The weights are the same in both.")
    return found


def _troubles(run: RunRecord, results: Iterable[Result]) -> list[str]:
    count = sum(bool(result.trouble) for result in results)
    if not count:
        return []
    tries = "1 try" if count == 1 else f"{count} tries"
    return [f"{tries} of {run.id} met trouble, such as a time limit, and count as not right."]


def _ratios(
    before: RunRecord, first: Sequence[Result], after: RunRecord, second: Sequence[Result]
) -> dict[str, Ratio]:
    pairs: dict[str, tuple[float | None, float | None]] = {}
    item = [percentiles(each.seconds for each in results) for results in (first, second)]
    token = [
        percentiles(one for each in results for one in each.first_token_seconds)
        for results in (first, second)
    ]
    for name, (one, two) in (("seconds of an item", item), ("seconds to a first token", token)):
        if one is not None and two is not None:
            pairs[f"{name}, median"] = one.p50, two.p50
            pairs[f"{name}, 90th percentile"] = one.p90, two.p90
    pairs["tokens per second"] = before.tokens_per_second, after.tokens_per_second
    pairs["peak memory in GB"] = _gigabytes(before), _gigabytes(after)
    return {
        name: Ratio(one, two)
        for name, (one, two) in pairs.items()
        if one is not None and two is not None
    }


def _gigabytes(run: RunRecord) -> float | None:
    return None if run.peak_memory is None else run.peak_memory / 1e9
