"""`punie eval`: how well a model does the product's own work, on suites of items."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from punie.cli.help import run_typed, say
from punie.cli.steps import step
from punie.models.catalog import resolve_model
from punie.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from punie.evaluation.baseline import Baseline
    from punie.evaluation.results import Result
    from punie.evaluation.run_options import RunOptions
    from punie.evaluation.suite import Suite
    from punie.training.progress import Reporter, Stopped

_FOLDER = "evaluations"
_AS_PUBLISHED = "model"
_BESIDE_BASELINE = frozenset(
    {"baseline", "keep_baseline", "checkout", "model", "items", "limit", "parallel"}
    | {"out", "as_json"}
)
"""What may be said beside a baseline, which decides all else."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; exit codes: 0 done, 1 it could not be done, 2 wrong usage, 130 stopped."""
    return run_typed(evaluate, arguments, "eval")


def evaluate(
    context: typer.Context,
    suite: Annotated[
        list[str] | None,
        typer.Option("--suite", metavar="NAME", help="Which one, or `all`; without it: a list."),
    ] = None,
    checkout: Annotated[
        list[str] | None,
        typer.Option(metavar="SUITE=FOLDER", help="A suite of others, and where you have it."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="The set one if left out.")
    ] = None,
    items: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Only items like `read/*`.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="Of each suite, spread evenly over it.")
    ] = None,
    temperature: Annotated[
        str,
        typer.Option(metavar="T", help="0: the likeliest token; `model`: as its files say."),
    ] = "0",
    seeds: Annotated[
        str, typer.Option("--seeds", "--seed", metavar="N,N", help="Of the sampling.")
    ] = "0",
    repeats: Annotated[
        int,
        typer.Option("--repeats", "--attempts", metavar="N", help="Tries at each item and seed."),
    ] = 1,
    parallel: Annotated[int, typer.Option(metavar="N", help="Sessions at a time.")] = 8,
    seconds: Annotated[
        float | None, typer.Option(metavar="S", help="Of one item, if less than it may take.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(metavar="N", help="Of one answer; by the item if left out.")
    ] = None,
    thinking: Annotated[
        str | None, typer.Option(metavar="ON|OFF|LEVEL", help="The model's own if left out.")
    ] = None,
    free_calls: Annotated[
        bool, typer.Option("--free-calls", help="Calls are not held by the grammar.")
    ] = False,
    draft: Annotated[
        str | None, typer.Option(metavar="MODEL", help="A draft model that is to go along.")
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Do what this run did; fail if that got worse."),
    ] = None,
    keep_baseline: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Keep how items came out, for --baseline later."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where results and report are written.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Let a model work as the agent on suites of items, and report how well it did."""
    if not suite and not checkout and baseline is None:
        _list_suites(as_json)
        return
    with step() as (report, stopped):
        from punie.cli.dataset.arguments import options_of
        from punie.evaluation.baseline import suites_again
        from punie.evaluation.run_options import RunOptions, plan

        before = None if baseline is None else _baseline(context, baseline)
        chosen = _chosen(suite or [], checkout or [])
        options = options_of(
            RunOptions,
            {
                "items": tuple(items or ()),
                "limit": limit,
                "temperature": None if temperature == _AS_PUBLISHED else temperature,
                "seeds": tuple(seeds.split(",")),
                "attempts": repeats,
                "parallel": parallel,
                "seconds": seconds,
                "max_tokens": max_tokens,
                "thinking": {"on": True, "off": False}.get(thinking or "", thinking),
                "guided": not free_calls,
                "draft_model": draft,
            },
        )
        if before is not None:
            known = _known() | {each.name: each for each in chosen}
            chosen = suites_again(before, known, renewed=keep_baseline is not None)
            kept = {"items": options.items, "limit": limit, "parallel": parallel}
            options = before.options.model_copy(update=kept)
            model = model or before.record.model.reference
        plan(chosen, options)
        settings = settings_of(model)
        asked = _Asked(settings, chosen, options, before, keep_baseline)
        folder = _own_folder(asked) if out is None else out
        results = _run(asked, folder, report, stopped)
        track_run(folder, settings)
        _tell(asked, folder, results, as_json)


@dataclass(frozen=True)
class _Asked:
    """What is to be run, what it is compared with, and where it is kept as a baseline."""

    settings: Settings
    suites: "Sequence[Suite]"
    options: "RunOptions"
    baseline: "Baseline | None"
    keep: Path | None


def settings_of(model: str | None) -> Settings:
    """Load the settings, with a model if one is named; what is wrong in them ends with code 2."""
    try:
        return load_settings(Path.cwd(), model=model)
    except SettingsError as error:
        say(str(error))
        raise typer.Exit(2) from None


def _baseline(context: typer.Context, folder: Path) -> "Baseline":
    """Read a baseline; what is said on the command line must not contradict it."""
    from punie.evaluation.baseline import read_baseline

    for name in context.params:
        source = context.get_parameter_source(name)
        if name not in _BESIDE_BASELINE and source is not None and source.name == "COMMANDLINE":
            say(f"the baseline decides --{name.replace('_', '-')}; leave one of them out.")
            raise typer.Exit(2)
    return read_baseline(folder.expanduser())


def _run(asked: _Asked, folder: Path, report: "Reporter", stopped: "Stopped") -> "list[Result]":
    from punie.evaluation.as_set import run_as_set
    from punie.evaluation.baseline import check_weights
    from punie.evaluation.run_record import model_record

    if asked.baseline is not None and asked.keep is None:
        now = model_record(resolve_model(asked.settings.model))
        check_weights(asked.baseline, now.reference, now.weights)
    return run_as_set(asked.settings, asked.suites, asked.options, folder, report, stopped)


def _list_suites(as_json: bool) -> None:
    from punie.evaluation.suites.catalog import SUITES
    from punie.evaluation.suites.external.opening import EXTERNAL

    if as_json:
        found: list[Mapping[str, Any]] = [
            {
                "name": each.name,
                "version": each.version,
                "items": len(each.names()),
                "about": each.about,
            }
            for each in SUITES.values()
        ]
        found += [{"name": name, "checkout": of} for name, of in EXTERNAL.items()]
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for each in SUITES.values():
        print(f"{each.name} ({len(each.names())} items, version {each.version})\n    {each.about}")
    for name, repository in EXTERNAL.items():
        print(f"{name}\n    With --checkout {name}=FOLDER: a checkout of {repository}.")


def _known() -> "dict[str, Suite]":
    from punie.evaluation.suites.catalog import SUITES

    return dict(SUITES)


def _chosen(names: Sequence[str], checkouts: Sequence[str]) -> "list[Suite]":
    """Return the suites that are named; raises `typer.Exit` or `EvaluationError`."""
    from punie.evaluation.suites.catalog import SUITES
    from punie.evaluation.suites.external.opening import EXTERNAL, open_suite

    found: list[Suite] = []
    for name in dict.fromkeys(names):
        if name == "all":
            found += [each for each in SUITES.values() if each not in found]
        elif name in EXTERNAL:
            say(f"{name} needs a checkout; name it with --checkout {name}=FOLDER.")
            raise typer.Exit(2)
        elif name not in SUITES:
            say(f"there is no suite {name!r}; `punie eval` lists them.")
            raise typer.Exit(2)
        elif SUITES[name] not in found:
            found.append(SUITES[name])
    for each in checkouts:
        name, _, folder = each.partition("=")
        if not folder:
            say(f"--checkout takes SUITE=FOLDER, and not {each!r}.")
            raise typer.Exit(2)
        found.append(open_suite(name, Path(folder).expanduser()))
    return found


def _own_folder(asked: _Asked) -> Path:
    """Return the folder of a run that names none: the same until that run is complete."""
    from punie.training.hashing import value_hash

    settings = asked.settings
    model = resolve_model(settings.model).id
    what: dict[str, Any] = {
        "model": model,
        "suites": [[each.name, each.version] for each in asked.suites],
        "options": asked.options.model_dump(mode="json", exclude={"parallel"}),
    }
    if asked.baseline is not None:
        what["baseline"] = asked.baseline.record.id
    slug = re.sub(r"[^\w.-]+", "-", model).strip("-.")[-60:]
    base = settings.state_dir / _FOLDER
    number = 1
    while (folder := base / f"{slug}-{value_hash(what)[:8]}-{number}").exists():
        number += 1
    return folder


def track_run(folder: Path, settings: Settings) -> None:
    """Keep a run in the tracker; what hinders that does not take the run from the person."""
    from punie.evaluation.errors import EvaluationError
    from punie.evaluation.tracker.store import record_run

    try:
        record_run(folder, settings.tracker_file)
    except EvaluationError as error:
        say(f"{error} The run is whole all the same; keep it with `punie track add {folder}`.")


def _tell(asked: _Asked, folder: Path, results: "Sequence[Result]", as_json: bool) -> None:
    """Print how a run came out, and end with 1 if that is worse than its baseline."""
    from punie.evaluation.baseline import changed, keep_baseline
    from punie.evaluation.report.writing import write_report
    from punie.evaluation.run_record import read_run
    from punie.evaluation.summary import summary_data, summary_lines

    before = asked.baseline if asked.keep is None else None
    change = None if before is None else changed(before, results)
    page = write_report(folder, None if before is None else before.folder)
    if asked.keep is not None:
        keep_baseline(folder, asked.keep.expanduser())
    if as_json:
        found = {
            "folder": str(folder.resolve()),
            "report": str(page.resolve()),
            "run": read_run(folder).model_dump(mode="json"),
            "suites": summary_data(results),
        }
        if change is not None:
            found["baseline"] = change.data()
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        print("\n".join(summary_lines(results)))
        for suite in read_run(folder).suites:
            if suite.left_out:
                print(f"\n{suite.name}: {suite.left_out}")
        print(f"\nIntervals hold the true share in 95 of 100 experiments. {page} tells it whole.")
        if asked.keep is not None:
            print(f"How its items came out is kept as the baseline in {asked.keep}.")
        if change is not None:
            print("\n".join(["", *change.lines()]))
    if before is not None and change is not None and change.is_worse:
        item = change.lost[0].partition(" ")[2]
        say(
            f"it got worse; {page} shows what the model did, and `punie eval --baseline "
            f"{before.folder} --items '{item}'` does one of the lost items again."
        )
        raise typer.Exit(1)
