"""Evaluation of a model on any tasks of the generator, as pipelines, gates and studies ask for it.

Names and projects are held out from training. Task n of a seed is the same whatever else is asked
for, so that evaluations can be compared task by task.
"""

import functools
from pathlib import Path

import anyio

from punie.evaluation.held_out import TaskOptions, Wording
from punie.evaluation.results import RESULTS, Result, read_results
from punie.evaluation.runner import run_suites
from punie.evaluation.suites.generated import tasks_suite
from punie.models.streaming import StreamingModel
from punie.training.progress import Reporter, Stopped, never, quiet

__all__ = ["TaskOptions", "Wording", "evaluate_tasks", "read_tasks", "solve_tasks"]


def evaluate_tasks(
    model: Path | str,
    options: TaskOptions,
    out: Path | None = None,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> list[Result]:
    """Let a model (a folder or a reference) solve tasks; results come in the order of the tasks.

    With `out` they go there as the folder of a run; see `run_suites`, also for what is raised. Not
    for use inside an event loop.
    """
    suites = [tasks_suite(options)]
    run = functools.partial(
        run_suites, str(model), suites, options.run, out, report=report, stopped=stopped
    )
    return anyio.run(run)


async def solve_tasks(
    model: StreamingModel,
    options: TaskOptions,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> list[Result]:
    """Let an open model solve tasks, as `evaluate_tasks` does."""
    suites = [tasks_suite(options)]
    return await run_suites(model, suites, options.run, report=report, stopped=stopped)


def read_tasks(folder: Path) -> list[Result]:
    """Read the results of an evaluation; raises `EvaluationError` if there are none."""
    return read_results(folder / RESULTS)
