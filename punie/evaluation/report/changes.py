"""What changed since another run, as the tracker compares them."""

from collections.abc import Sequence

from punie.evaluation.intervals import Paired
from punie.evaluation.report.figures import figure
from punie.evaluation.report.markup import Content, Html, element, joined, table
from punie.evaluation.tracker.comparing import Change, Comparison


def changes_tables(strict: Comparison, soft: Comparison) -> list[Html]:
    """Return the changes of all suites, and the ratios of times and memory."""
    pairs = [*zip(strict.suites, soft.suites, strict=True), (strict.overall, soft.overall)]
    # All together are of interest where they are several.
    shown = pairs if len(strict.suites) > 1 else pairs[:-1]
    head = ["suite", "strict", "gained", "lost", "p", "soft", "items"]
    note = (
        "Only items that both runs did are compared, in suites of one version; an item is right if "
        "more than half of its tries are. In small, the interval that holds the true difference in "
        "95 of 100 experiments (Newcombe's, for pairs). p is how likely so uneven a split of the "
        "changed items is if neither run is better (McNemar's exact test), for suites adjusted for "
        "their number (Holm's method); below 0.05 it is called better or worse."
    )
    return [
        table("Solved, against the baseline", head, [_row(*pair) for pair in shown], note=note),
        table(
            "Time and memory, against the baseline",
            ["", "before", "now", "ratio"],
            [_ratio(name, strict) for name in strict.ratios],
        ),
    ]


def _row(strict: Change, soft: Change) -> Sequence[Content]:
    return [
        strict.suite or "all suites",
        _difference(strict),
        strict.paired.gained,
        strict.paired.lost,
        f"{strict.p:.2g}",
        _difference(soft),
        strict.after.of,
    ]


def _ratio(name: str, compared: Comparison) -> Sequence[Content]:
    ratio = compared.ratios[name]
    value = "–" if ratio.value is None else f"{ratio.value:.2f}"
    return [name, figure(ratio.before), figure(ratio.after), value]


def _difference(change: Change) -> Html:
    found: Paired = change.paired
    word = "worse" if change.is_worse else "better" if change.is_better else ""
    interval = f" {found.low * 100:+.1f} to {found.high * 100:+.1f}"
    return joined(
        [
            f"{found.difference * 100:+.1f} points",
            element("small", interval),
            element("strong", f" {word}", class_=word) if word else "",
        ]
    )
