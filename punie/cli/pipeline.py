"""`punie pipeline`: from data to a model that passed its gates, as a recipe has it."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from punie.cli.help import run_group, say
from punie.cli.steps import step

if TYPE_CHECKING:
    from punie.training.pipeline.recipe import Recipe
    from punie.training.pipeline.store import Store

_Recipe = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A TOML file, or a recipe that comes with Punie.")
]
_Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Another value, such as tune.rank=16."),
]
_Base = Annotated[str | None, typer.Option("--model", help="Another base model.")]
_Name = Annotated[str | None, typer.Option("--name", help="Another name for run and result.")]
_Where = Annotated[str | None, typer.Option("--store", help="Folder of all outputs.")]
_Json = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]
_RunName = Annotated[str | None, typer.Argument(metavar="[NAME]", help="The last one if left out.")]

_START_SECONDS = 60.0
_STOP_SECONDS = 120.0


def main(arguments: Sequence[str]) -> int:
    """Run the command; exit codes: 0 done, 1 it could not be done, 2 wrong usage, 130 stopped."""
    commands: dict[str, Callable[..., None]] = {
        "plan": plan,
        "run": run,
        "status": status,
        "stop": stop,
        "gc": gc,
    }
    return run_group(commands, arguments, "pipeline", "Train models by recipes, gates included.")


def run(
    recipe: _Recipe,
    values: _Set = None,
    model: _Base = None,
    name: _Name = None,
    store: _Where = None,
    again: Annotated[
        list[str] | None, typer.Option("--again", metavar="STEP", help="Do this step anew.")
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Run without this terminal; see `status`.")
    ] = False,
) -> None:
    """Run a recipe, or go on with it: nothing that is done is done again."""
    with step() as (report, stopped):
        from punie.training.pipeline.pipeline import Order, run_pipeline
        from punie.training.pipeline.status import status_lines

        found, place = _open(recipe, values, model, name, store)
        arguments = _arguments(values, model, name, store)
        if detach:
            _detach(found, place, [recipe, *arguments, *_repeated("--again", again)])
            return
        order = Order(recipe, tuple(arguments))
        done = run_pipeline(found, place, order, report, stopped, again=again or ())
        print("\n".join(status_lines(place, done)))


def plan(
    recipe: _Recipe,
    values: _Set = None,
    model: _Base = None,
    name: _Name = None,
    store: _Where = None,
    as_json: _Json = False,
) -> None:
    """Tell what a recipe comes to before anything starts; a base model needs no weights for it.

    Exit code 1 if it cannot run.
    """
    with step():
        from punie.training.pipeline.plan import plan_json, plan_lines, plan_recipe

        found = plan_recipe(*_open(recipe, values, model, name, store))
        if as_json:
            print(json.dumps(plan_json(found), indent=2))
        else:
            print("\n".join(plan_lines(found)))
        if found.problems:
            raise typer.Exit(1)


def status(
    name: _RunName = None,
    store: _Where = None,
    as_json: _Json = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it anew every two seconds until it ends.")
    ] = False,
) -> None:
    """Tell how far a pipeline is, or what came out of it."""
    with step() as (_, stopped):
        from punie.training.errors import TrainingError
        from punie.training.pipeline.pipeline import open_store
        from punie.training.pipeline.runs import read_run, run_names
        from punie.training.pipeline.status import status_json, status_lines

        place = open_store(folder=store)
        if name is None:
            names = run_names(place)
            if not names:
                raise TrainingError(
                    "No pipeline has run here yet; `punie pipeline run RECIPE` starts one."
                )
            name = names[0]
        while True:
            found = read_run(place, name)
            if as_json:
                print(json.dumps(status_json(place, found), indent=2), flush=True)
            else:
                if watch and sys.stdout.isatty():
                    print("\033[H\033[2J", end="")
                print("\n".join(status_lines(place, found)), flush=True)
            if not watch or found.state != "running" or stopped():
                return
            time.sleep(2.0)


def stop(name: _RunName = None, store: _Where = None) -> None:
    """End a pipeline; the step that runs saves what it has, and the next run goes on from there."""
    with step() as (_, stopped):
        from punie.training.errors import TrainingError
        from punie.training.pipeline.pipeline import open_store
        from punie.training.pipeline.runs import ask_to_stop, is_running, run_names

        place = open_store(folder=store)
        running = [one for one in run_names(place) if is_running(place, one)]
        if name is None and len(running) > 1:
            raise TrainingError(f"Several run: name one of {', '.join(running)}.")
        wanted = name or next(iter(running), None)
        if wanted is None or wanted not in running:
            raise TrainingError(f"No pipeline{f' {wanted}' if wanted else ''} is running.")
        ask_to_stop(place, wanted)
        deadline = time.monotonic() + _STOP_SECONDS
        while is_running(place, wanted):
            if time.monotonic() > deadline or stopped():
                raise TrainingError(
                    f"{wanted} still saves; `punie pipeline status {wanted}` tells when it is over."
                )
            time.sleep(0.1)
        print(f"{wanted} has stopped; the command that started it goes on from there.")


def gc(
    store: _Where = None,
    days: Annotated[
        float, typer.Option(min=0, help="Keep what a pipeline used within so many days.")
    ] = 30.0,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete outputs that no pipeline used lately; models that have a name stay."""
    with step():
        from punie.models.memory import gigabytes
        from punie.training.errors import TrainingError
        from punie.training.pipeline.clearing import unneeded
        from punie.training.pipeline.pipeline import open_store

        place = open_store(folder=store)
        found = unneeded(place, days, _model_in_use())
        if not found:
            print("There is nothing to delete.")
            return
        for one in found:
            print(f"{one.key}  {gigabytes(one.bytes):>8}  {one.what}")
        size = gigabytes(sum(one.bytes for one in found))
        if not yes:
            if not sys.stdin.isatty():
                raise TrainingError("Nobody is there to ask; use --yes to delete without asking.")
            if not typer.confirm(f"Delete {len(found)} outputs ({size})?"):
                print("Nothing was deleted.")
                return
        gone = sum(place.remove(one.key) for one in found)
        print(f"{gone} outputs are deleted; {size} are free again.")


def _model_in_use() -> tuple[Path, ...]:
    from punie.cli.model_report import used_models
    from punie.models.catalog import ModelUnavailable, resolve_model
    from punie.settings import SettingsError, load_settings

    try:
        used = used_models(load_settings().model, Path.home())
    except SettingsError as error:
        raise ModelUnavailable(str(error)) from None
    found = []
    for reference in used:
        try:
            path = resolve_model(reference).path
        except ModelUnavailable:
            continue
        if path is not None:
            found.append(path)
    return tuple(found)


def _open(
    recipe: str,
    values: list[str] | None,
    model: str | None,
    name: str | None,
    store: str | None,
) -> "tuple[Recipe, Store]":
    from punie.training.pipeline.pipeline import open_store
    from punie.training.pipeline.recipe import read_recipe, setting

    given = dict(setting(one) for one in values or ())
    if model is not None and Path(model).is_dir():
        # Relative paths in a recipe begin where it lies, one that is typed begins here.
        model = str(Path(model).absolute())
    given |= {key: one for key, one in (("model", model), ("name", name)) if one is not None}
    found = read_recipe(recipe, given)
    return found, open_store(found, store)


def _arguments(
    values: list[str] | None, model: str | None, name: str | None, store: str | None
) -> list[str]:
    found = _repeated("--set", values)
    for flag, value in (("--model", model), ("--name", name), ("--store", store)):
        if value is not None:
            found += [flag, value]
    return found


def _repeated(flag: str, values: list[str] | None) -> list[str]:
    return [word for value in values or () for word in (flag, value)]


def _detach(recipe: "Recipe", store: "Store", arguments: list[str]) -> None:
    """Start the same command as a process that outlives this terminal."""
    from punie.client.finding import punie_program
    from punie.training.errors import TrainingError
    from punie.training.output import written_in_words
    from punie.training.pipeline.pipeline import whole_graph, whole_model
    from punie.training.pipeline.runs import is_running, output_file

    # A wrong recipe is told here and now.
    whole_graph(recipe, whole_model)
    if is_running(store, recipe.name):
        raise TrainingError(
            f"The pipeline {recipe.name} runs already; `punie pipeline status {recipe.name}` "
            "shows it."
        )
    file = output_file(store, recipe.name)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as output:
            process = subprocess.Popen(
                [*punie_program(), "pipeline", "run", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=Path.cwd(),
                start_new_session=True,
            )
    except OSError as error:
        raise TrainingError(written_in_words(error, file)) from error
    deadline = time.monotonic() + _START_SECONDS
    while not is_running(store, recipe.name) and process.poll() is None:
        if time.monotonic() > deadline:
            raise TrainingError(f"It does not get on; {file} has what it said.")
        time.sleep(0.05)
    if process.poll() not in (None, 0):
        said = file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        reason = said[-1].removeprefix("punie: ") if said else f"see {file}"
        raise TrainingError(f"It ended at once: {reason}")
    print(f"{recipe.name} runs as process {process.pid}; `punie pipeline status {recipe.name}`.")
    say(f"what it says goes to {file}")
