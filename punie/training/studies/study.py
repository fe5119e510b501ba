"""What a study is: steps whose results answer one question, and the page that tells the answer.

A study's steps are those of pipelines, in the same store, so that a study that was interrupted goes
on and what two studies share is made once. Gates are left out: a study wants to see what fails.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from punie.training.output import write_text
from punie.training.pipeline.foresight import Foresight
from punie.training.pipeline.graph import recipe_graph
from punie.training.pipeline.pipeline import Order, ending, new_run, whole_model
from punie.training.pipeline.recipe import Recipe
from punie.training.pipeline.runner import Running, run_graph
from punie.training.pipeline.runs import only_run
from punie.training.pipeline.store import Record, Store
from punie.training.progress import Reporter, Stopped, never, quiet

StepTables = dict[str, dict[str, Any]]
"""The steps of a study by name, as in a recipe."""


@dataclass(frozen=True)
class Finished:
    """A step that is done: the folder of its output, and its record."""

    folder: Path
    record: Record


@dataclass(frozen=True)
class Study:
    """One question and how it is answered.

    Attributes:
        name: of the command and the page.
        question: in one sentence.
        options: the type of the study's options, whose defaults make the published page.
        small: values of options with which it is done in a minute, to see that it works.
        steps: the steps for given options.
        collect: plain data from the finished steps, all that page and charts are made of.
        page: the page, in Markdown, of that data.
        charts: pictures (SVG) by file name, of that data.
    """

    name: str
    question: str
    options: type[BaseModel]
    small: Mapping[str, Any]
    steps: Callable[[Any], StepTables]
    collect: Callable[[Any, Mapping[str, Finished]], dict[str, Any]]
    page: Callable[[Mapping[str, Any]], str]
    charts: Callable[[Mapping[str, Any]], Mapping[str, str]]


def run_study(
    study: Study,
    options: BaseModel,
    store: Store,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> dict[str, Any]:
    """Run a study's steps, none that is done already, and return what it found.

    Raises:
        TrainingError: a step failed; `Interrupted` if it was asked to stop.
    """
    name = f"study-{study.name}"
    recipe = Recipe(
        name=name,
        folder=Path.cwd(),
        text="",
        file=f"study {study.name}",
        steps=study.steps(options),
    )
    graph = recipe_graph(recipe, whole_model)
    with only_run(store, name):
        foreseen = Foresight(store, count_tokens=False).look(graph)
        run = new_run(recipe, Order(name), graph, foreseen)
        running = Running(store, run, report, stopped)
        ending(running, lambda: run_graph(graph, running))
    finished = {
        step.name: Finished(store.output(step.key, record.artifact), record)
        for step in run.steps
        if step.key is not None and (record := running.outcomes.get(step.name)) is not None
    }
    found = {"study": study.name, "options": options.model_dump(mode="json")}
    return found | study.collect(options, finished)


def write_results(study: Study, found: Mapping[str, Any], out: Path) -> Path:
    """Write a study's data, page and pictures into a folder; return the page.

    Raises:
        TrainingError: they cannot be written, or what draws them is not installed.
    """
    for name, picture in study.charts(found).items():
        write_text(out / name, picture)
    write_text(out / f"{study.name}.json", json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    page = out / f"{study.name}.md"
    write_text(page, study.page(found))
    return page
