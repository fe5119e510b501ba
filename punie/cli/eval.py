"""`punie eval`: how well a model does the product's own work, on suites of items."""

import functools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import typer

from punie.cli.help import run_typed, say
from punie.cli.steps import step
from punie.models.catalog import ModelUnavailable, resolve_model
from punie.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from punie.evaluation.results import Result
    from punie.evaluation.run_options import RunOptions
    from punie.evaluation.suite import Suite

_FOLDER = "evaluations"
_AS_PUBLISHED = "model"


def main(arguments: Sequence[str]) -> int:
    """Run the command; exit codes: 0 done, 1 it could not be done, 2 wrong usage, 130 stopped."""
    return run_typed(evaluate, arguments, "eval")


def evaluate(
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
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where results and report are written.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Let a model work as the agent on suites of items, and report how well it did."""
    if not suite and not checkout:
        _list_suites(as_json)
        return
    try:
        settings = load_settings(Path.cwd(), model=model)
    except SettingsError as error:
        say(str(error))
        raise typer.Exit(2) from None
    with step() as (report, stopped):
        from punie.cli.dataset.arguments import options_of
        from punie.evaluation.run_options import RunOptions, plan
        from punie.evaluation.runner import run_suites
        from punie.logs.setup import close_log, configure_logging, open_log
        from punie.models.options import engine_options
        from punie.training.process import prepare_process

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
        plan(chosen, options)
        folder = _own_folder(settings, chosen, options) if out is None else out
        prepare_process(threads=1)  # a token's small products gain nothing from more
        configure_logging(settings.state_dir, settings.log_level, None, "eval")
        open_log()
        # What is kept on disk of earlier sessions stays out of it, and the model awake.
        engine = replace(engine_options(settings), prefix_directory=None, idle_seconds=None)
        run = functools.partial(
            run_suites,
            *(settings.model or "", chosen, options, folder, report, stopped, engine),
            hidden=(settings.state_dir,),
        )
        try:
            results = anyio.run(run)
        finally:
            close_log()
        _track(folder, settings)
        _tell(folder, results, as_json)


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


def _own_folder(settings: Settings, chosen: "Sequence[Suite]", options: "RunOptions") -> Path:
    """Return the folder of a run that names none: the same until that run is complete."""
    from punie.training.hashing import value_hash

    try:
        model = resolve_model(settings.model).id
    except ModelUnavailable as error:
        say(str(error))
        raise typer.Exit(1) from None
    asked = {
        "model": model,
        "suites": [[each.name, each.version] for each in chosen],
        "options": options.model_dump(mode="json", exclude={"parallel"}),
    }
    slug = re.sub(r"[^\w.-]+", "-", model).strip("-.")[-60:]
    base = settings.state_dir / _FOLDER
    number = 1
    while (folder := base / f"{slug}-{value_hash(asked)[:8]}-{number}").exists():
        number += 1
    return folder


def _track(folder: Path, settings: Settings) -> None:
    """Keep a run in the tracker; what hinders that does not take the run from the person."""
    from punie.evaluation.errors import EvaluationError
    from punie.evaluation.tracker.store import record_run

    try:
        record_run(folder, settings.tracker_file)
    except EvaluationError as error:
        say(f"{error} The run is whole all the same; keep it with `punie track add {folder}`.")


def _tell(folder: Path, results: "Sequence[Result]", as_json: bool) -> None:
    from punie.evaluation.report import write_report
    from punie.evaluation.run_record import read_run
    from punie.evaluation.summary import summary_data, summary_lines

    page = write_report(folder)
    if as_json:
        found = {
            "folder": str(folder.resolve()),
            "report": str(page.resolve()),
            "run": read_run(folder).model_dump(mode="json"),
            "suites": summary_data(results),
        }
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    print("\n".join(summary_lines(results)))
    for suite in read_run(folder).suites:
        if suite.left_out:
            print(f"\n{suite.name}: {suite.left_out}")
    print(f"\nIntervals hold the true share in 95 of 100 experiments. {page} tells it whole.")
