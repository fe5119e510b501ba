"""A pipeline as a whole: from a recipe to models that passed their gates."""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from punie.models.catalog import BUNDLED_ID, ModelUnavailable, bundled_directory, resolve_model
from punie.models.made import data_folder, made_model, name_model
from punie.training.errors import TrainingError
from punie.training.output import written_in_words
from punie.training.pipeline.foresight import Foreseen, Foresight
from punie.training.pipeline.gating import results, with_gates
from punie.training.pipeline.graph import FindModel, Graph, recipe_graph
from punie.training.pipeline.recipe import Recipe
from punie.training.pipeline.runner import Running, run_graph
from punie.training.pipeline.runs import (
    Run,
    StepStatus,
    only_run,
    write_run,
)
from punie.training.pipeline.search import Search, closing, read_search
from punie.training.pipeline.step import Figure
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


def whole_model(reference: str, folder: Path, weights: bool) -> Path:
    """Return the folder of a model with all files that are read; see `find_model`."""
    return find_model(reference, folder, whole=weights)


def described_model(reference: str, folder: Path, weights: bool) -> Path:
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
    graph, search = whole_graph(recipe, whole_model)
    check_names(graph, again)
    with only_run(store, recipe.name):
        foreseen = Foresight(store, count_tokens=False).look(graph)
        if search is None:
            _refuse_early(foreseen)
        run = new_run(recipe, order, graph, foreseen)
        running = Running(store, run, report, stopped, again=again)

        def work() -> None:
            if search is None:
                run_graph(graph, running)
                run.results = name_results(recipe, store, run, graph)
            else:
                _run_search(recipe, search, running)

        ending(running, work)
    return run


def whole_graph(recipe: Recipe, find_model: FindModel) -> tuple[Graph, Search | None]:
    """Return the graph of a recipe with its gates, and the search if it wants one.

    Raises:
        TrainingError: the recipe is wrong; names the file, line, step and key.
    """
    search = read_search(recipe, find_model)
    if search is not None:
        return search.graph, search
    return with_gates(recipe, recipe_graph(recipe, find_model)), None


def _run_search(recipe: Recipe, search: Search, running: Running) -> None:
    """Run all choices, then the gates at the end for the best one."""
    run = running.run
    run_graph(search.graph, running, keep_going=True)
    step, _, figure = search.options.by.partition(".")
    figures: dict[int, Figure] = {}
    rows: list[dict[str, Any]] = []
    for number, choice in enumerate(search.choices):
        record = running.outcomes.get(choice.names[step])
        row = {key: str(value) for key, value in choice.values.items()}
        if record is None:
            row[search.options.by] = _why(run, choice.names.values())
        elif figure not in record.figures:
            known = ", ".join(record.figures) or "none"
            raise TrainingError(f"{step} has no figure {figure!r} to search by; it has {known}.")
        else:
            figures[number] = record.figures[figure]
            row[search.options.by] = str(record.figures[figure])
        rows.append(row)
    best = search.best(figures)
    if best is None:
        raise TrainingError(f"No choice came to an end; the first: {rows[0][search.options.by]}")
    rows[best]["best"] = True
    run.searched = rows
    final = closing(search, search.choices[best], whole_model)
    left = {name: node for name, node in final.nodes.items() if name not in search.graph.nodes}
    run.steps = [
        *run.steps,
        *(StepStatus(name=n, kind=node.step.kind, makes=node.makes) for n, node in left.items()),
    ]
    run_graph(Graph(left), running)
    run.results = name_results(recipe, running.store, run, final)


def _why(run: Run, names: Iterable[str]) -> str:
    """Say why a choice has no figure."""
    steps = [run.step(name) for name in names]
    return next((one.sentence for one in steps if one.state in ("failed", "refused")), "not done")


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


def _refuse_early(foreseen: Mapping[str, Foreseen]) -> None:
    """Raise `TrainingError` for what would fail only after long work."""
    for name, step in foreseen.items():
        if step.need.refused is not None:
            raise TrainingError(f"{name}: {step.need.refused}")


def name_results(recipe: Recipe, store: Store, run: Run, graph: Graph) -> dict[str, str]:
    """Give the models that came out their names, and return the store's keys by name.

    Raises:
        TrainingError: a step or a gate of the graph is not done, or a name cannot be written.
    """
    for status in map(run.step, graph.nodes):
        if status.state not in ("done", "reused"):
            raise TrainingError(f"{status.name}: {status.sentence}")
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
