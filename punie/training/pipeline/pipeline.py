"""A pipeline as a whole: from a recipe to models that passed their gates."""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from punie.models.catalog import BUNDLED_ID, ModelUnavailable, bundled_directory, resolve_model
from punie.models.made import data_folder, made_model, name_model
from punie.training.errors import TrainingError
from punie.training.output import written_in_words
from punie.training.pipeline.foresight import Foreseen, Foresight
from punie.training.pipeline.gating import results, with_gates
from punie.training.pipeline.graph import Graph, recipe_graph
from punie.training.pipeline.recipe import Recipe
from punie.training.pipeline.runner import Running, run_graph
from punie.training.pipeline.runs import (
    Run,
    StepStatus,
    asked_to_stop,
    only_run,
    write_run,
)
from punie.training.pipeline.store import Store
from punie.training.progress import Interrupted, Reporter, Stopped, never, quiet


@dataclass(frozen=True)
class Order:
    """How a run was asked for, for going on in the same way: the recipe's name, and flags."""

    recipe: str
    arguments: tuple[str, ...] = ()


def open_store(recipe: Recipe | None = None, folder: str | None = None) -> Store:
    """Return the store: the given folder, the recipe's, or the user's own."""
    if folder is not None:
        return Store(Path(folder).expanduser().absolute())
    if recipe is not None and recipe.store is not None:
        return Store((recipe.folder / Path(recipe.store).expanduser()).absolute())
    return Store(data_folder() / "pipelines")


def find_model(reference: str, folder: Path, *, whole: bool = True) -> Path:
    """Return the folder of a model; relative paths begin in `folder`.

    Without `whole`, config and tokenizer are enough.

    Raises:
        ModelUnavailable: it is not on this machine.
    """
    if reference == BUNDLED_ID:
        return bundled_directory()
    made = made_model(reference)
    if made is not None:
        return made
    path = (folder / Path(reference).expanduser()).resolve()
    if path.is_dir() and not whole:
        if not (path / "config.json").is_file():
            raise ModelUnavailable(f"There is no config.json in {path}; name a model's folder.")
        return path
    found = resolve_model(str(path) if path.is_dir() else reference).path
    if found is None or not found.is_dir():
        raise ModelUnavailable(f"{reference} is no model that can be trained.")
    return found


def whole_model(reference: str, folder: Path) -> Path:
    """Return the folder of a model with all its files; see `find_model`."""
    return find_model(reference, folder)


def described_model(reference: str, folder: Path) -> Path:
    """Return the folder of a model that may lack its weights; see `find_model`."""
    return find_model(reference, folder, whole=False)


def run_pipeline(
    recipe: Recipe,
    store: Store,
    order: Order,
    report: Reporter = quiet,
    stopped: Stopped = never,
    *,
    again: Sequence[str] = (),
) -> Run:
    """Run a recipe; what is done already is not done again. Returns how it went.

    Args:
        recipe: what to do.
        store: where outputs lie and are kept.
        order: how it was asked for.
        report: told of progress.
        stopped: asked several times a second.
        again: steps whose outputs are to be made anew.

    Raises:
        TrainingError: the recipe is wrong, a step failed or a gate did not pass.
        Interrupted: it was asked to stop; the same call goes on.
    """
    graph = with_gates(recipe, recipe_graph(recipe, whole_model))
    check_names(graph, again)
    with only_run(store, recipe.name):
        run = new_run(recipe, order, graph, Foresight(store, count_tokens=False).look(graph))
        running = Running(store, run, report, _stops(store, recipe.name, stopped), again=again)
        ending(running, lambda: run_graph(graph, running))
        run.results = name_results(recipe, store, run, graph)
        write_run(store, run)
    return run


def check_names(graph: Graph, names: Iterable[str]) -> None:
    """Raise `TrainingError` if one of the names is no step of the graph."""
    for name in names:
        if name not in graph.nodes:
            raise TrainingError(f"There is no step {name!r}; there are {', '.join(graph.nodes)}.")


def new_run(recipe: Recipe, order: Order, graph: Graph, foreseen: Mapping[str, Foreseen]) -> Run:
    """Return a run that begins now."""
    now = time.time()
    steps = [
        StepStatus(
            name=name,
            kind=node.step.kind,
            makes=node.makes,
            expected=foreseen[name].seconds,
            memory=foreseen[name].need.memory,
            disk=foreseen[name].need.disk,
        )
        for name, node in graph.nodes.items()
    ]
    return Run(
        name=recipe.name,
        recipe=order.recipe,
        arguments=list(order.arguments),
        pid=os.getpid(),
        started=now,
        used=now,
        steps=steps,
    )


def ending(running: Running, work: Callable[[], None]) -> None:
    """Do the work of a run and write down how it ended."""
    run = running.run
    run.state, run.sentence = "running", ""
    write_run(running.store, run)
    try:
        work()
    except Interrupted as error:
        run.state, run.sentence = "stopped", str(error)
        raise
    except TrainingError as error:
        run.state, run.sentence = "failed", str(error)
        raise
    except BaseException as error:
        run.state, run.sentence = "failed", f"{type(error).__name__}: {error}"
        raise
    else:
        run.state = "done"
    finally:
        run.ended = time.time()
        running.note()


def name_results(recipe: Recipe, store: Store, run: Run, graph: Graph) -> dict[str, str]:
    """Give the models that came out their names, and return the store's keys by name.

    Raises:
        TrainingError: a name cannot be written.
    """
    made = results(graph)
    found: dict[str, str] = {}
    for step in made:
        name = recipe.name if len(made) == 1 else f"{recipe.name}-{step}"
        key = run.step(step).key
        if key is None:
            continue
        try:
            name_model(name, store.output(key, "model"))
        except OSError as error:
            raise TrainingError(written_in_words(error, Path(name))) from error
        found[name] = key
    return found


def _stops(store: Store, name: str, stopped: Stopped) -> Stopped:
    return lambda: stopped() or asked_to_stop(store, name)
