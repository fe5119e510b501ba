"""What a comparison of two runs looks like as tables and lines."""

from punie.evaluation.report.figures import figure
from punie.evaluation.run_record import RunRecord
from punie.evaluation.tracker.comparing import Change, Comparison
from punie.evaluation.tracker.tables import NOTHING, Table, as_text
from punie.evaluation.tracker.views import HASH_LETTERS


def comparison_lines(found: Comparison, most: int) -> list[str]:
    """Return a comparison as lines, with at most so many of the gained and of the lost items."""
    lines = [
        f"first   {_in_a_line(found.before)}",
        f"second  {_in_a_line(found.after)}",
        *(f"note: {warning}" for warning in found.warnings),
        "",
        as_text(_changes_table(found)),
    ]
    for title, items in (("lost", found.overall.lost), ("gained", found.overall.gained)):
        if items and most:
            left = f" (the first {most} of {len(items)})" if len(items) > most else ""
            lines += ["", f"{title}{left}", *(f"  {item}" for item in items[:most])]
    if found.kinds:
        lines += ["", as_text(_kinds_table(found))]
    if found.ratios:
        lines += ["", as_text(_ratios_table(found))]
    worse = [name for name in found.regressions if name]
    if found.regressions:
        where = f" in {', '.join(worse)}" if worse else " over all suites together"
        lines += ["", f"The second run is worse than chance explains{where}."]
    return lines


def _in_a_line(record: RunRecord) -> str:
    model = record.model
    about = [
        "" if model.quantisation in (None, "none") else model.quantisation,
        "" if model.weights is None else f"weights {model.weights[:HASH_LETTERS]}",
        f"Punie {record.punie} {record.revision}".strip(),
    ]
    return f"{record.id}  {model.reference} ({'; '.join(filter(None, about))})"


def _changes_table(found: Comparison) -> Table:
    """Return what changed, suite by suite."""
    changes = [*found.suites, found.overall] if len(found.suites) > 1 else list(found.suites)
    rows = [
        (
            one.suite or "all",
            f"{one.before.value:.1%}",
            f"{one.after.value:.1%}",
            _points(one),
            str(one.paired.gained),
            str(one.paired.lost),
            f"{one.p:.2g}",
            str(one.before.of),
            "WORSE" if one.is_worse else "better" if one.is_better else "",
        )
        for one in changes
    ]
    head = ("suite", "first", "second", "change", "gained", "lost", "p", "items", "verdict")
    column = "softly" if found.soft else "strictly"
    note = (
        "An item is right if more than half of its tries are. In brackets: what holds the true "
        "change in 95 of 100 experiments (Newcombe's interval for pairs). p: how likely so uneven "
        "a change is if neither run is better (McNemar's exact test; of suites adjusted for their "
        "number by Holm's method). Below 0.05 the verdict is worse or better."
    )
    return Table(f"{found.check.capitalize()} {column}, on the same items", head, tuple(rows), note)


def _kinds_table(found: Comparison) -> Table:
    """Return what changed, kind by kind; without verdicts, which so many would not bear."""
    rows = [
        (
            one.suite,
            one.kind,
            f"{one.before.value:.1%}",
            f"{one.after.value:.1%}",
            _points(one),
            str(one.before.of),
        )
        for one in found.kinds
    ]
    head = ("suite", "kind", "first", "second", "change", "items")
    return Table("By kind", head, tuple(rows))


def _ratios_table(found: Comparison) -> Table:
    """Return how fast and how large the second run is, in units of the first."""
    rows = [
        (
            name,
            figure(one.before),
            figure(one.after),
            NOTHING if one.value is None else f"{one.value:.2f}",
        )
        for name, one in found.ratios.items()
    ]
    return Table("Speed and memory", ("", "first", "second", "ratio"), tuple(rows))


def _points(change: Change) -> str:
    one = change.paired
    return f"{one.difference * 100:+.1f} ({one.low * 100:+.1f} to {one.high * 100:+.1f}) points"
