"""A run as the user's settings say, in a process that does nothing else."""

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import anyio

from punie.evaluation.results import Result
from punie.evaluation.run_options import RunOptions
from punie.evaluation.runner import run_suites
from punie.evaluation.suite import Suite
from punie.logs.setup import close_log, configure_logging, open_log
from punie.models.options import engine_options
from punie.settings import Settings
from punie.training.process import prepare_process
from punie.training.progress import Reporter, Stopped


def run_as_set(
    settings: Settings,
    suites: Sequence[Suite],
    options: RunOptions,
    folder: Path,
    report: Reporter,
    stopped: Stopped,
) -> list[Result]:
    """Let the model of the settings do all items of some suites; see `run_suites`.

    What is kept on disk of earlier sessions stays out of it, and out of reach of commands. Call it
    before MLX is loaded, and not inside an event loop.
    """
    prepare_process(threads=1)  # a token's small products gain nothing from more
    configure_logging(settings.state_dir, settings.log_level, None, "eval")
    open_log()
    # The model stays awake.
    engine = replace(engine_options(settings), prefix_directory=None, idle_seconds=None)
    model = settings.model or ""
    try:
        return anyio.run(
            functools.partial(
                run_suites,
                *(model, suites, options, folder, report, stopped, engine),
                hidden=(settings.state_dir,),
            )
        )
    finally:
        close_log()
