"""`punie track`: every run of `punie eval` by model, machine and version, and what changed."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from punie.cli.help import run_group, say
from punie.cli.terminal import printable

if TYPE_CHECKING:
    from punie.evaluation.tracker.store import Tracker

_Run = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="Its id or its beginning or end, a model for its latest run, or last."
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]
_Check = Annotated[str, typer.Option("--check", metavar="NAME", help="What is looked at.")]
_Soft = Annotated[bool, typer.Option("--soft", help="By the soft column.")]


class Format(StrEnum):
    """What runs are exported as."""

    MARKDOWN = "md"
    CSV = "csv"
    HTML = "html"


def main(arguments: Sequence[str]) -> int:
    """Run the command; exit codes: 0 done, 1 it could not be done, 2 wrong usage."""
    commands: dict[str, Callable[..., None]] = {
        "add": add,
        "list": list_runs,
        "show": show,
        "compare": compare,
        "history": history,
        "export": export,
        "import-reported": import_reported,
        "rm": rm,
    }
    summary = "Keep the runs of `punie eval`, and compare them."
    return run_group(commands, arguments, "track", summary)


def add(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER", help="What `punie eval` wrote.")
    ],
) -> None:
    """Keep runs that are not kept yet, such as those of another machine."""
    with _told():
        from punie.evaluation.tracker.store import record_run

        for folder in folders:
            is_new = record_run(folder.expanduser())
            _print(f"{folder}: {'kept' if is_new else 'kept again, in place of what was there'}.")


def list_runs(
    model: Annotated[
        list[str] | None, typer.Option("--model", metavar="MODEL", help="Only its runs.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """List the runs, the latest first."""
    with _tracker() as tracker:
        from punie.evaluation.tracker.plain import run_data
        from punie.evaluation.tracker.views import list_lines

        runs = tracker.runs(model or ())
        if as_json:
            _print_json([run_data(run) for run in runs])
            return
        for run in runs:
            _print("\n".join(list_lines(run)))
        if not runs:
            _print("There are no runs yet; `punie eval` makes them.")


def show(
    run: _Run,
    suite: Annotated[
        str | None, typer.Option("--suite", metavar="NAME", help="Only it, by kinds of items.")
    ] = None,
    items: Annotated[bool, typer.Option("--items", help="Also how each item came out.")] = False,
    as_json: _Json = False,
) -> None:
    """Show all that is known of a run."""
    with _tracker() as tracker:
        from punie.evaluation.errors import EvaluationError
        from punie.evaluation.tracker import views
        from punie.evaluation.tracker.plain import run_data
        from punie.evaluation.tracker.tables import as_text

        found = tracker.run(run)
        names = [one.name for one in found.record.suites if suite in (None, one.name)]
        if not names:
            raise EvaluationError(f"The run {found.record.id} has no suite {suite!r}.")
        measures = [one for one in tracker.measures(found.record.id) if one.suite in names]
        results = tracker.results(found.record.id) if items else []
        results = [one for one in results if one.suite in names]
        beside = [row for row in tracker.reported() if row.suite in names]
        if as_json:
            _print_json(run_data(found, measures, results if items else None, beside))
            return
        _print(f"run {found.record.id}")
        for name, value in views.facts(found.record):
            _print(f"  {name:<13} {value}")
        _print(f"\n{as_text(views.scores_table(found, suite))}")
        if measures:
            _print(f"\n{as_text(views.measures_table(measures))}")
        for table in views.reported_tables(beside):
            _print(f"\n{as_text(table)}\n  {table.note}")
        if items:
            _print("\n" + "\n".join(["Items", *views.item_lines(results)]))


def compare(
    before: _Run,
    after: _Run,
    check: _Check = "solved",
    soft: _Soft = False,
    items: Annotated[
        int, typer.Option("--items", min=0, metavar="N", help="Gained and lost items to list.")
    ] = 20,
    as_json: _Json = False,
) -> None:
    """Compare two runs on the items that both did."""
    with _tracker() as tracker:
        from punie.evaluation.tracker.comparing import compare as compare_runs
        from punie.evaluation.tracker.comparison_views import comparison_lines
        from punie.evaluation.tracker.plain import comparison_data

        first, second = tracker.run(before).record, tracker.run(after).record
        found = compare_runs(
            first,
            tracker.results(first.id),
            second,
            tracker.results(second.id),
            check=check,
            soft=soft,
        )
        if as_json:
            _print_json(comparison_data(found))
            return
        _print("\n".join(comparison_lines(found, items)))


def history(
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="Whose runs; that of the latest run if left out."),
    ] = None,
    suite: Annotated[
        str | None, typer.Option("--suite", metavar="NAME", help="All of them if left out.")
    ] = None,
    check: Annotated[
        str, typer.Option("--check", metavar="NAME", help="What is shown.")
    ] = "solved",
    kind: Annotated[str, typer.Option("--kind", metavar="NAME", help="Of a kind of items.")] = "",
    soft: _Soft = False,
    chart: Annotated[
        Path | None, typer.Option("--chart", metavar="FILE", help="Also draw it, as SVG.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Show how the runs of one model came out over time."""
    with _tracker() as tracker:
        from punie.evaluation.tracker import history as over_time
        from punie.evaluation.tracker.plain import point_data
        from punie.evaluation.tracker.tables import as_text
        from punie.evaluation.tracker.views import model_name
        from punie.training.output import write_text

        if model is None:
            model = tracker.run("last").record.model.reference
        points = over_time.history(tracker.runs([model]), model, suite, check, kind, soft=soft)
        if chart is not None:
            title = f"{model_name(model)}: {check} over time"
            write_text(chart, over_time.history_chart(title, points))
        if as_json:
            _print_json([point_data(point) for point in points])
            return
        table = over_time.history_table(model, points, check)
        _print(f"{as_text(table)}\n  {table.note}")


def export(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="RUN", help="Which runs; all if left out.")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="As what.")] = Format.MARKDOWN,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Where to; charts of Markdown lie beside it."),
    ] = None,
) -> None:
    """Write runs and reported rows as Markdown, CSV or a page with charts."""
    with _tracker() as tracker:
        from punie.evaluation.tracker import exporting
        from punie.training.output import write_text

        chosen = tracker.runs()
        if runs:
            wanted = {tracker.run(name).record.id for name in runs}
            chosen = [run for run in chosen if run.record.id in wanted]
        measures = [tracker.measures(run.record.id) for run in chosen]
        given = exporting.Exported(chosen, measures, tracker.reported())
        charts: list[exporting.Chart] = []
        match form:
            case Format.CSV:
                text = exporting.as_csv(given)
            case Format.HTML:
                text = exporting.as_page(given)
            case Format.MARKDOWN:
                prefix = None if out is None else out.stem
                text, charts = exporting.as_markdown_page(given, prefix=prefix)
        if out is None:
            sys.stdout.write(text)
            return
        for chart in charts:
            write_text(out.with_name(f"{out.stem}-{chart.name}.svg"), chart.svg)
        write_text(out, text)
        reported = _count(len(given.rows), "reported row")
        _print(f"{out} holds {_count(len(chosen), 'run')} and {reported}.")


def import_reported(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="Rows in TOML; those that come with Punie without."),
    ] = None,
) -> None:
    """Keep what others published beside the runs, marked as reported there."""
    with _tracker() as tracker:
        from punie.evaluation.tracker.reported import read_reported

        rows = read_reported(file)
        tracker.import_reported(rows)
        sources = ", ".join(sorted({row.source for row in rows}))
        _print(f"{_count(len(rows), 'row')} kept as reported there ({sources}).")


def rm(
    run: _Run, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False
) -> None:
    """Take a run off the list; its folder stays."""
    with _tracker() as tracker:
        from punie.evaluation.tracker.views import list_lines

        found = tracker.run(run)
        if not yes:
            if not sys.stdin.isatty():
                say("nobody is there to ask; use --yes to do it without a question.")
                raise typer.Exit(1)
            _print("\n".join(list_lines(found)))
            if not typer.confirm("Take this run off the list?"):
                _print("Nothing was changed.")
                return
        tracker.remove(found.record.id)
        _print(f"{found.record.id} is off the list.")


@contextmanager
def _tracker() -> Iterator["Tracker"]:
    with _told():
        from punie.evaluation.tracker.store import Tracker
        from punie.settings import load_settings

        with closing(Tracker(load_settings(Path.cwd()).tracker_file)) as tracker:
            yield tracker


@contextmanager
def _told() -> Iterator[None]:
    """Tell what cannot be done in one sentence, and end with 1."""
    from punie.evaluation.errors import EvaluationError
    from punie.settings import SettingsError
    from punie.training.errors import TrainingError

    try:
        yield
    except (EvaluationError, TrainingError, SettingsError) as error:
        say(str(error))
        raise typer.Exit(1) from None


def _print(text: str) -> None:
    """Print what may hold words of a model, which are not to steer the terminal."""
    print(printable(text))


def _print_json(found: object) -> None:
    print(json.dumps(found, indent=2, ensure_ascii=False))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
