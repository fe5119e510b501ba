"""The end of a run in short: each check of each suite, strictly and softly, with intervals."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from punie.evaluation.intervals import Mean, Rate, mean
from punie.evaluation.results import Result, scores

_GAP = "  "
_MOST_REASONS = 5


def by_suite(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Return the results by suite, in the order in which the suites come."""
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.suite, []).append(result)
    return found


def summary_lines(results: Sequence[Result]) -> list[str]:
    """Return a table as lines of text; of several tries at the items, the first is in it.

    A line below each suite tells the mean over the tries, whose spread is the sampling's.
    """
    rows = [("", "strict", "soft")]
    reasons: dict[int, list[str]] = {}
    for name, own in by_suite(results).items():
        first = _first_tries(own)
        rows.append((f"{name}, {_items(len(first))}", "", ""))
        for check, score in _solved_first(scores(first)):
            rows.append((f"{_GAP}{check}", _rate(score.strict), _rate(score.soft)))
        tries = solved_by_try(own)
        if len(tries) > 1:
            strict, soft = mean([one for one, _ in tries]), mean([other for _, other in tries])
            label = f"{_GAP}solved, mean of {len(tries)} tries"
            rows.append((label, _mean(strict), _mean(soft)))
        troubles = sum(bool(result.trouble) for result in own)
        if troubles:
            rows.append((f"{_GAP}with trouble: {troubles} of {len(own)}", "", ""))
            reasons[len(rows)] = _reasons(own)
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines: list[str] = []
    for number, row in enumerate(rows, 1):
        lines.append(_GAP.join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())
        lines += [f"{2 * _GAP}{reason}" for reason in reasons.get(number, ())]
    return lines


def _reasons(results: Sequence[Result]) -> list[str]:
    """Return the commonest troubles, each with how many items met it."""
    counted = Counter(result.trouble for result in results if result.trouble)
    told = [f"{count}: {reason}" for reason, count in counted.most_common(_MOST_REASONS)]
    left = len(counted) - len(told)
    return [*told, f"and {left} more, see the report"] if left else told


def summary_data(results: Sequence[Result]) -> dict[str, Any]:
    """Return the same as plain data, by suite."""
    found = {}
    for name, own in by_suite(results).items():
        first = _first_tries(own)
        found[name] = {
            "items": len(first),
            "checks": {
                check: {"strict": plain_rate(score.strict), "soft": plain_rate(score.soft)}
                for check, score in _solved_first(scores(first))
            },
            "solved_by_try": [{"strict": s, "soft": soft} for s, soft in solved_by_try(own)],
            "with_trouble": sum(bool(result.trouble) for result in own),
        }
    return found


def plain_rate(of: Rate) -> dict[str, float | int]:
    """Return a rate as plain data."""
    return {
        "rate": round(of.value, 4),
        "hits": of.hits,
        "of": of.of,
        "low": round(of.low, 4),
        "high": round(of.high, 4),
    }


def solved_by_try(results: Sequence[Result]) -> list[tuple[float, float]]:
    """Return for each seed and attempt the share of items that was solved, strictly and softly."""
    tries: dict[tuple[int | None, int], list[Result]] = {}
    for result in results:
        tries.setdefault((result.seed, result.attempt), []).append(result)
    return [
        (
            sum(result.solved.strict for result in own) / len(own),
            sum(result.solved.soft for result in own) / len(own),
        )
        for own in tries.values()
    ]


def _first_tries(results: Sequence[Result]) -> list[Result]:
    first: dict[str, Result] = {}
    for result in results:
        first.setdefault(result.item, result)
    return list(first.values())


def _solved_first(found: dict[str, Any]) -> list[tuple[str, Any]]:
    return sorted(found.items(), key=lambda each: (each[0] != "solved", each[0]))


def _items(count: int) -> str:
    return f"{count} item{'' if count == 1 else 's'}"


def _rate(of: Rate) -> str:
    return f"{of.value:6.1%} ({of.low:.1%} to {of.high:.1%}) of {of.of}"


def _mean(of: Mean) -> str:
    return f"{of.value:6.1%} ({max(of.low, 0.0):.1%} to {min(of.high, 1.0):.1%})"
