"""Two runs over the same items: what the second gained and lost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from punie.evaluation.intervals import Paired, paired
from punie.evaluation.report.figures import by_suite
from punie.evaluation.report.markup import Content, Html, element, joined, table
from punie.evaluation.results import Result

Case = tuple[str, str, int | None, int]
"""One try at one item: suite, item, seed, attempt."""


def case_of(result: Result) -> Case:
    """Return which case a result is of."""
    return (result.suite, result.item, result.seed, result.attempt)


@dataclass(frozen=True)
class Change:
    """How two runs differ on the cases of a suite that both have.

    `gained` and `lost` are those that only one of them solved strictly; `alone` counts the cases
    that only one of the runs has.
    """

    strict: Paired
    soft: Paired
    gained: frozenset[Case]
    lost: frozenset[Case]
    alone: int

    @property
    def of(self) -> int:
        """How many cases are compared."""
        return self.strict.both + self.strict.gained + self.strict.lost + self.strict.neither


def changes(before: Sequence[Result], after: Sequence[Result]) -> dict[str, Change]:
    """Compare two runs suite by suite, over the cases that both have."""
    first, second = by_suite(before), by_suite(after)
    return {
        name: _change(first[name], results) for name, results in second.items() if name in first
    }


def _change(before: Sequence[Result], after: Sequence[Result]) -> Change:
    first = {case_of(result): result.solved for result in before}
    second = {case_of(result): result.solved for result in after}
    shared = [case for case in second if case in first]
    return Change(
        strict=paired([first[c].strict for c in shared], [second[c].strict for c in shared]),
        soft=paired([first[c].soft for c in shared], [second[c].soft for c in shared]),
        gained=frozenset(c for c in shared if second[c].strict and not first[c].strict),
        lost=frozenset(c for c in shared if first[c].strict and not second[c].strict),
        alone=len(first.keys() ^ second.keys()),
    )


def changes_table(found: Mapping[str, Change]) -> Html:
    """Return the changes of all suites."""
    rows: list[list[Content]] = []
    for name, change in found.items():
        if not change.of:
            continue
        rows.append(
            [
                name,
                _difference(change.strict),
                change.strict.gained,
                change.strict.lost,
                f"{change.strict.p:.2g}",
                _difference(change.soft),
                change.of,
                change.alone or "–",
            ]
        )
    head = ["suite", "strict", "gained", "lost", "p", "soft", "cases", "in one run only"]
    note = (
        "Only cases that both runs have are compared: same suite, item, seed and try. In small, "
        "the interval that holds the true difference in 95 of 100 experiments (Newcombe's, for "
        "pairs). p is how likely so uneven a split of the changed cases is if neither run is "
        "better (McNemar's exact test, two-sided); below 0.05 the suite is called better or worse."
    )
    return table("Solved, against the baseline", head, rows, note=note)


def _difference(change: Paired) -> Html:
    text = f"{change.difference * 100:+.1f} points"
    word = "worse" if change.is_worse else "better" if change.is_better else ""
    interval = f" {change.low * 100:+.1f} to {change.high * 100:+.1f}"
    marked = element("strong", f" {word}", class_=word) if word else ""
    return joined([text, element("small", interval), marked])
