"""The tables of a report: what the results of a suite amount to."""

import math
from collections.abc import Iterable, Sequence
from statistics import fmean, median
from urllib.parse import quote

from punie.evaluation.charts import Axis, Bar, bar_chart, can_draw
from punie.evaluation.intervals import Rate, rate
from punie.evaluation.report.markup import Content, Html, element, joined, table
from punie.evaluation.results import Result, Score, by_kind, measures, scores
from punie.evaluation.run_record import percentiles
from punie.models.memory import gigabytes

NO_CHARTS = "Charts are left out: matplotlib draws them, which comes with Punie's extra `training`."
_MOST_BARS = 16


def by_suite(results: Iterable[Result]) -> dict[str, list[Result]]:
    """Return the results by suite, suites in the order in which they were run."""
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.suite, []).append(result)
    return found


def share(found: Rate) -> Html:
    """Return a rate as the cell of a table: the share, and its interval smaller."""
    if not found.of:
        return joined(["–"])
    interval = f" {found.low:.1%} to {found.high:.1%}"
    return joined([f"{found.value:.1%}", element("small", interval)])


def checks_table(results: Sequence[Result]) -> Html:
    """Return every check of a suite, strictly and softly; `solved` comes first."""
    found = scores(results)
    names = sorted(found, key=lambda name: (name != "solved", name))
    rows = [[name, *_score(found[name])] for name in names]
    return table("What was judged", ["check", "strict", "soft", "cases"], rows)


def kinds_table(results: Sequence[Result]) -> Html:
    """Return how much of each kind was solved."""
    rows = [[kind, *_score(scores(some)["solved"])] for kind, some in by_kind(results).items()]
    return table("Solved by kind", ["kind", "strict", "soft", "cases"], rows)


def tries_table(results: Sequence[Result]) -> Html | None:
    """Return how many items were solved in every try and in any; None if each has one try."""
    tries: dict[str, list[Result]] = {}
    for result in results:
        tries.setdefault(result.item, []).append(result)
    if len(tries) == len(results):
        return None
    rows: list[list[Content]] = []
    for label, decided in (("in every try", all), ("in at least one try", any)):
        strict = [decided(each.solved.strict for each in some) for some in tries.values()]
        soft = [decided(each.solved.soft for each in some) for some in tries.values()]
        rows.append(
            [
                label,
                share(rate(sum(strict), len(strict))),
                share(rate(sum(soft), len(soft))),
                len(tries),
            ]
        )
    note = (
        "Elsewhere each try is a case of its own. Tries at one item are alike, so that those "
        "intervals are narrower than they should be; these count items."
    )
    return table("Items solved", ["", "strict", "soft", "items"], rows, note=note)


def measures_table(results: Sequence[Result]) -> Html | None:
    """Return what was measured of each item; None if nothing was."""
    found = measures(results)
    if not found:
        return None
    rows: list[list[Content]] = [
        [
            name,
            *(
                measured(name, each)
                for each in (fmean(values), median(values), min(values), max(values))
            ),
            len(values),
        ]
        for name, values in found.items()
    ]
    head = ["measure", "mean", "median", "least", "most", "cases"]
    return table("Measures", head, rows)


def times_table(suites: dict[str, list[Result]]) -> Html:
    """Return how long items and first tokens took."""
    rows: list[list[Content]] = []
    for name, results in suites.items():
        for label, values in (
            ("items", [result.seconds for result in results]),
            ("first tokens", [each for result in results for each in result.first_token_seconds]),
        ):
            spread = percentiles(values)
            if spread is not None:
                cells = map(seconds, (spread.p50, spread.p90, spread.p99, max(values)))
                rows.append([f"{name}: {label}", *cells, spread.of])
    head = ["", "50 %", "90 %", "99 %", "longest", "cases"]
    note = (
        "So many of 100 took at most that long. An item's time holds its tools' and, where "
        "sessions ran side by side, what it waited for the others; a first token's is counted "
        "from its request."
    )
    return table("Time", head, rows, note=note)


def work_table(suites: dict[str, list[Result]]) -> Html:
    """Return what the model used, and what did not go its way whatever came of the items."""
    rows = []
    for name, results in suites.items():
        of = len(results)
        rows.append(
            [
                name,
                figure(fmean(result.requests for result in results)),
                figure(fmean(len(result.calls) for result in results)),
                f"{sum(result.tokens for result in results):,}",
                f"{sum(result.read_tokens for result in results):,}",
                _count(sum(result.malformed for result in results)),
                _count(sum(result.not_run for result in results)),
                _count(sum(result.cut for result in results), of),
                _count(sum(result.stop != "end_turn" for result in results), of),
                _count(sum(bool(result.trouble) for result in results), of),
            ]
        )
    head = [
        "suite",
        "requests an item",
        "calls an item",
        "tokens written",
        "tokens read",
        "unreadable calls",
        "calls that did not run",
        "answers cut",
        "not ended by the model",
        "troubles",
    ]
    note = (
        "Unreadable calls could not be parsed. Calls that did not run are those, denied ones, and "
        "ones of tools that there are not. An answer is cut that only repeats itself. Tokens read "
        "are those that no cache held. Troubles kept an item from being worked on or judged; it "
        "counts as not solved."
    )
    return table("Work", head, rows, note=note)


def solved_chart(title: str, groups: dict[str, list[Result]], usual: int = 1) -> Html | None:
    """Draw how much of each group is solved, strictly and softly.

    None for too few or many of them, or if groups do not usually hold so many results.
    """
    if not can_draw() or not 1 < len(groups) <= _MOST_BARS:
        return None
    if median(map(len, groups.values())) < usual:
        return None
    found = {name: scores(results)["solved"] for name, results in groups.items()}
    series = [
        ("strict", [_bar(score.strict) for score in found.values()]),
        ("soft", [_bar(score.soft) for score in found.values()]),
    ]
    told = "; ".join(
        f"{name}: {score.strict.value:.0%} strictly, {score.soft.value:.0%} softly"
        for name, score in found.items()
    )
    drawn = bar_chart(title, Axis("solved", percent=True, top=1.0), list(found), series)
    return picture(drawn, f"Bars: {title}. {told}.")


def picture(svg: str, told: str) -> Html:
    """Return a chart with what it shows in words."""
    # As a picture of its own: its styles and names do not meet those of the page.
    address = "data:image/svg+xml," + quote(svg, safe=" !*()-._~:/=;,?@&+$'")
    return element("figure", element("img", src=address, alt=told))


def figure(value: float) -> str:
    """Return a figure as people write it."""
    if math.isfinite(value) and value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.3g}"


def measured(name: str, value: float) -> str:
    """Return a measure of items, by its name: bytes and seconds as such, else a number."""
    match name:
        case "peak_memory":
            return gigabytes(round(value))
        case "seconds":
            return seconds(value)
        case _:
            return figure(value)


def seconds(value: float) -> str:
    """Return a duration."""
    if value < 0.9995:
        return f"{value * 1000:.3g} ms"
    if value < 60:
        return f"{value:.3g} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s"


def _score(score: Score) -> list[Html | int]:
    return [share(score.strict), share(score.soft), score.strict.of]


def _bar(found: Rate) -> Bar:
    return Bar(found.value, found.low, found.high)


def _count(number: int, of: int | None = None) -> str:
    if not number:
        return "–"
    return f"{number:,}" if of is None else f"{number:,} ({number / of:.0%})"
