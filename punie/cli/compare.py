"""`punie models compare`: which of several models is the one for this machine."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from punie.cli.eval import settings_of, track_run
from punie.cli.help import say
from punie.cli.steps import step
from punie.models.catalog import ModelUnavailable, resolve_model
from punie.settings import Settings

if TYPE_CHECKING:
    from punie.evaluation.choosing.candidates import Candidate
    from punie.evaluation.choosing.deciding import Recommendation, Standing


def compare(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL", help="With one, the model in use is the other."),
    ],
    suite: Annotated[
        list[str] | None,
        typer.Option("--suite", metavar="NAME", help="Of the full stage; all if left out."),
    ] = None,
    short: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Items of each suite, short stage.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Items of each suite, full stage.")
    ] = None,
    most_seconds: Annotated[
        float | None,
        typer.Option(metavar="S", min=0, help="A model that takes longer for an item is left out."),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(metavar="N", help="Of one answer; by the item if left out.")
    ] = None,
    parallel: Annotated[int, typer.Option(metavar="N", help="Sessions at a time.")] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Compare models at the agent's work, and recommend one for this machine.

    Files, memory and gate 0 first, then a short stage, then all of it; what has no chance is left
    out on the way. The same command goes on where it was stopped.
    """
    settings = settings_of(None)
    with step() as (report, stopped):
        from punie.cli.dataset.arguments import options_of
        from punie.evaluation.choosing.candidates import candidates
        from punie.evaluation.choosing.comparison import compare_models
        from punie.evaluation.choosing.deciding import recommend
        from punie.evaluation.choosing.stages import FULL_ITEMS, SHORT_ITEMS, stages
        from punie.evaluation.run_options import RunOptions
        from punie.evaluation.suites.catalog import SUITES

        unknown = next((name for name in suite or () if name not in SUITES), None)
        if unknown is not None:
            say(f"there is no suite {unknown!r}; `punie eval` lists them.")
            raise typer.Exit(2)
        given = {"max_tokens": max_tokens, "parallel": parallel}
        options = options_of(RunOptions, given)
        both = stages(suite or (), short or SHORT_ITEMS, limit or FULL_ITEMS, options)
        found = candidates(_with_the_one_in_use(models, settings))
        standings = compare_models(
            found,
            both,
            settings,
            most_seconds,
            lambda run: track_run(run.folder, settings),
            report,
            stopped,
        )
        recommended = recommend(standings)
    _tell(standings, recommended, settings, as_json)
    if recommended.candidate is None:
        raise typer.Exit(1)


def _with_the_one_in_use(models: Sequence[str], settings: Settings) -> list[str]:
    """Put the model in use before a single one, so that there is something to compare it with."""
    if len(models) > 1:
        return list(models)
    try:
        used = resolve_model(settings.model)
        if used.id != resolve_model(models[0]).id:
            return [used.id, *models]
    except ModelUnavailable as error:
        say(f"{error}")
    return list(models)


def _tell(
    standings: "Sequence[Standing]", found: "Recommendation", settings: Settings, as_json: bool
) -> None:
    from punie.evaluation.choosing.telling import comparison_data, comparison_lines

    use = [] if found.candidate is None else _how_to_use(found.candidate, settings)
    if as_json:
        told = comparison_data(standings, found) | {"next": use}
        print(json.dumps(told, indent=2, ensure_ascii=False))
        return
    print("\n".join([*comparison_lines(standings, found), *use]))


def _how_to_use(candidate: "Candidate", settings: Settings) -> list[str]:
    """Return what to do to use a model, in sentences."""
    from punie.training.gates.verdict import why_not_served

    choice = candidate.choice
    try:
        if resolve_model(settings.model).id == choice.id:
            return ["It is the model in use already."]
    except ModelUnavailable:
        pass  # What is set is not there, so it is another one.
    if choice.source == "scripted":
        return ["It is a script for tests, which no session can use."]
    told = f"Use it from now on with `punie models use {choice.id}`."
    if choice.source in ("bundled", "endpoint") or choice.path is None:
        return [told]
    if why_not_served(choice.path) is None:
        return [told]
    return [f"First let it through its gate, with `punie gate serving {choice.id}`.", told]
