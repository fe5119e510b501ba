"""The page itself: one file that needs nothing else, styles and a small script inside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from punie.evaluation.charts import can_draw
from punie.evaluation.report import figures, head
from punie.evaluation.report.changes import changes_tables
from punie.evaluation.report.document import document
from punie.evaluation.report.items import STATES, Listed, Past, item_list
from punie.evaluation.report.markup import Content, Html, element
from punie.evaluation.results import Result, by_kind
from punie.evaluation.run_record import RunRecord
from punie.evaluation.suites.catalog import SUITES
from punie.evaluation.tracker.comparing import compare
from punie.tools.wording import count

_USUAL_OF_KIND = 3
"""With fewer results of a kind its bar would tell nothing."""

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Run:
    """A run of `punie eval`: its record and its results, in the order of the file."""

    record: RunRecord
    results: Sequence[Result]


def report_page(run: Run, baseline: Run | None = None) -> str:
    """Return a run's report, against a baseline if there is one.

    Raises `EvaluationError` if they cannot be compared.
    """
    script = (_FOLDER / "page.js").read_text(encoding="utf-8")
    title = f"Evaluation of {run.record.model.reference}"
    return document(title, _parts(title, run, baseline), script)


def _parts(title: str, run: Run, baseline: Run | None) -> list[Html]:
    suites = figures.by_suite(run.results)
    parts = [element("header", element("h1", title), head.facts(run.record, run.results))]
    if not run.results:
        parts.append(element("main", element("p", "There are no results yet.")))
        return parts
    past: Mapping[str, Past] = {}
    summary: list[Content] = [element("h2", "Solved"), head.summary_table(run.record, run.results)]
    left = sum(not result.solved.strict for result in run.results)
    told = f"{left} of {count(len(run.results), 'try', 'tries')} not solved strictly"
    summary.append(element("p", element("a", told, href="#items"), "; these are listed first."))
    chart = figures.solved_chart("Solved by suite", suites)
    if chart is not None:
        summary.append(chart)
    elif not can_draw():
        summary.append(element("p", figures.NO_CHARTS, class_="hint"))
    sections = [element("section", *summary)]
    if baseline is not None:
        section, past = _comparison(run, baseline)
        sections.append(section)
    sections += [_suite(run.record, name, results) for name, results in suites.items()]
    sections.append(
        element(
            "section",
            element("h2", "Speed and work"),
            figures.times_table(suites),
            figures.work_table(suites),
        )
    )
    sections.append(_items(run.results, past))
    parts.append(element("main", *sections))
    return parts


def _suite(record: RunRecord, name: str, results: list[Result]) -> Html:
    parts: list[Content] = [element("h2", name)]
    version = next((each.version for each in record.suites if each.name == name), None)
    suite = SUITES.get(name)
    if suite is not None and suite.version == version:
        parts.append(element("p", suite.about))
    kinds = by_kind(results)
    parts.append(figures.checks_table(results))
    if len(kinds) > 1:
        parts.append(figures.kinds_table(results))
    chart = figures.solved_chart(f"{name}: solved by kind", kinds, _USUAL_OF_KIND)
    tables = [figures.tries_table(results), figures.measures_table(results), chart]
    parts += [each for each in tables if each is not None]
    return element("section", *parts, id=head.anchor(name))


def _comparison(run: Run, baseline: Run) -> tuple[Html, Mapping[str, Past]]:
    other = baseline.record
    strict, soft = (
        compare(other, baseline.results, run.record, run.results, soft=column)
        for column in (False, True)
    )
    against = " ".join(
        filter(None, [other.model.reference, (other.model.weights or "")[:12], other.id])
    )
    parts: list[Content] = [element("h2", "Changes"), element("p", f"The baseline is {against}.")]
    parts += [element("p", warning, class_="warning") for warning in strict.warnings]
    past: dict[str, Past] = {}
    for change in strict.suites:
        past |= dict.fromkeys(change.gained, "gained")
        past |= dict.fromkeys(change.lost, "lost")
    return element("section", *parts, *changes_tables(strict, soft)), past


def _items(results: Sequence[Result], past: Mapping[str, Past]) -> Html:
    listed = [
        Listed(result, line, past.get(f"{result.suite} {result.item}", ""))
        for line, result in enumerate(results, 1)
    ]
    return element(
        "section", element("h2", "Items"), _filters(listed, bool(past)), item_list(listed)
    )


def _filters(listed: Sequence[Listed], has_past: bool) -> Html:
    """Return what narrows the list down; the script shows it, since it works only by the script."""
    results = [each.result for each in listed]
    states = {each.state for each in listed}
    fields = [
        _choice("suite", {name: name for name in figures.by_suite(results)}),
        _choice("kind", {name: name for name in by_kind(results)}),
        _choice("outcome", {key: text for key, text in STATES.items() if key in states}),
    ]
    if has_past:
        fields.append(_choice("change", {past: past for past in ("gained", "lost")}))
    words = element("input", type="search", name="words", autocomplete="off", spellcheck="false")
    return element(
        "form",
        *fields,
        element("label", "words ", words),
        element("output", aria_live="polite"),
        id="filters",
        hidden=True,
    )


def _choice(name: str, values: Mapping[str, str]) -> Html:
    options = [element("option", text, value=value) for value, text in values.items()]
    every = element("option", "all", value="")
    return element("label", f"{name} ", element("select", every, *options, name=name))
