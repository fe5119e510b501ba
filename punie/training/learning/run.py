"""The flywheel: from the user's sessions to a model that has learned from them, and passed.

Everything happens on this machine. The steps are those of a pipeline, so that an interrupted run
goes on where it was and nothing is computed twice.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from punie.models.catalog import BUNDLED_ID, ModelUnavailable, resolve_model
from punie.models.made import made_model
from punie.settings import Settings
from punie.training.data.from_sessions import check_allowed, nothing_found
from punie.training.errors import TrainingError
from punie.training.hashing import value_hash
from punie.training.learning.ledger import learning_folder, look
from punie.training.learning.options import LearnOptions
from punie.training.learning.recipe import recipe_text
from punie.training.learning.runs import (
    PART,
    LearningRun,
    keep_examples,
    kept_examples,
    read_active,
    read_runs,
    remove_run,
    run_folder,
    store_of,
    write_run,
)
from punie.training.output import write_text
from punie.training.pipeline.pipeline import Order, run_pipeline
from punie.training.pipeline.recipe import Recipe, read_recipe
from punie.training.pipeline.store import Store
from punie.training.progress import Interrupted, Reporter, Stopped, never, quiet

_RECIPE = "recipe.toml"
_UNFINISHED = ("begun", "stopped")


@dataclass(frozen=True)
class Prepared:
    """A run that may start.

    Attributes:
        run: how it is so far; one that goes on has begun before.
        recipe: what will be done.
        store: where the outputs of its steps lie.
        kept: how many of the examples were kept by the person for certain.
        goes_on: whether it goes on with what was begun before.
    """

    run: LearningRun
    recipe: Recipe
    store: Store
    kept: int
    goes_on: bool


def prepare(
    options: LearnOptions,
    settings: Settings,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> Prepared:
    """Collect what there is to learn from and say what is to be done; nothing is learned yet.

    A run that was begun with equal options goes on with the examples that it began with.

    Raises:
        TrainingError: the user has not allowed it, there is too little to learn from, or the model
            cannot be trained on this machine.
    """
    check_allowed(settings)
    folder = learning_folder(settings)
    base = base_model(options.model, settings, folder)
    place = trainable_folder(base)
    key = value_hash([base, options.model_dump(mode="json")])
    begun = [r for r in read_runs(folder) if r.state in _UNFINISHED and r.key == key]
    if begun:
        run = begun[-1]
    else:
        found = look(options.selection, settings, report, stopped)
        if not found.examples:
            raise TrainingError(nothing_found(found))
        if len(found.examples) < options.least:
            number = len(found.examples)
            there = "is 1 example" if number == 1 else f"are {number} examples"
            raise TrainingError(
                f"There {there} in your sessions, and less than {options.least} teach little; "
                f"work on, or say --least {number}."
            )
        name = f"learned-{value_hash([key, sorted(found.examples)])[:10]}"
        dataset = keep_examples(folder, name, options.selection, found)
        run = LearningRun(
            name=name,
            key=key,
            base=base,
            started=time.time(),
            examples=len(found.examples),
            dataset=dataset.hash,
        )
        known = [r for r in read_runs(folder) if r.name == name]
        run = known[0] if known else run
        write_run(folder, run)
    kept = kept_examples(folder, run.name)
    own = [*kept.examples(PART)]
    file = run_folder(folder, run.name) / _RECIPE
    if not file.exists():
        write_text(file, recipe_text(run.name, base, place, kept.folder, own, options))
    recipe = read_recipe(str(file), options.values)
    sure = sum(example.checked == "person" for example in own)
    return Prepared(run, recipe, store_of(folder), sure, bool(begun))


def learn(
    prepared: Prepared,
    settings: Settings,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> LearningRun:
    """Learn: the model that comes out has passed all gates and has the run's name.

    Raises:
        TrainingError: a step failed or a gate did not pass; the run keeps why.
        Interrupted: it was asked to stop; the same call goes on.
    """
    folder = learning_folder(settings)
    run = prepared.run
    if run.state == "learned":
        return run

    def note(**changes: object) -> LearningRun:
        changed = run.model_copy(update=changes)
        write_run(folder, changed)
        return changed

    try:
        done = run_pipeline(
            prepared.recipe, prepared.store, Order(prepared.recipe.file), report, stopped
        )
    except Interrupted as error:
        note(state="stopped", sentence=str(error))
        raise
    except TrainingError as error:
        note(state="failed", sentence=str(error))
        raise
    (key,) = done.results.values()
    return note(state="learned", sentence="", model=str(prepared.store.output(key, "model")))


def forget_older(folder: Path, but: str, tell: Callable[[str], None]) -> None:
    """Delete the runs before one whose model is in use now; raise `TrainingError`."""
    for run in read_runs(folder):
        if run.name != but:
            remove_run(folder, run.name)
            tell(run.name)


def base_model(wanted: str | None, settings: Settings, folder: Path) -> str:
    """Return the reference of the model to begin with, never one that was learned."""
    active = read_active(folder)
    chosen = wanted or settings.model or BUNDLED_ID
    learned = {run.name: run.base for run in read_runs(folder)}
    if active is not None and chosen == active.run:
        return learned.get(active.run, active.before or BUNDLED_ID)
    return learned.get(chosen, chosen)


def trainable_folder(reference: str) -> Path:
    """Return the folder of a model that can be trained here.

    Raises:
        TrainingError: it is on a server, a script, or not on this machine.
    """
    made = made_model(reference)
    if made is not None:
        return made
    try:
        choice = resolve_model(reference)
    except ModelUnavailable as error:
        raise TrainingError(str(error)) from error
    if choice.path is None or choice.source == "scripted":
        raise TrainingError(
            f"{choice.id} is no model on this machine, so it cannot learn; name one that is with "
            "--model."
        )
    return choice.path
