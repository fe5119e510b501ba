"""How commands that train run one long step: progress shown, signals heard, errors told."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from punie.cli.help import say
from punie.models.catalog import ModelUnavailable
from punie.training.errors import TrainingError
from punie.training.progress import (
    Interrupted,
    Progress,
    Reporter,
    Stopped,
    stop_on_signals,
)

_LINE_SECONDS = 15.0


@contextmanager
def step() -> Iterator[tuple[Reporter, Stopped]]:
    """Run a step of training inside: yields what receives its progress, and what ends it.

    Progress goes to stderr: a bar on a terminal, elsewhere a line now and then. What the step
    raises for the user becomes one sentence and exit code 1, or 130 if it was interrupted.
    """
    shown = _Shown()
    try:
        with stop_on_signals() as stopped, shown:
            yield shown, stopped
    except Interrupted as error:
        say(str(error))
        raise typer.Exit(130) from None
    except (TrainingError, ModelUnavailable) as error:
        say(str(error))
        raise typer.Exit(1) from None


class _Shown:
    """A bar on a terminal, otherwise a line at the start of each kind of work and now and then."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._doing = ""
        self._said = 0.0
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[metrics]}"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None, count="", metrics="")

    def __enter__(self) -> "_Shown":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        """Show how far a step is."""
        count = f"{progress.done:,.0f}"
        if progress.total is not None:
            count += f" of {progress.total:,.0f}"
        count = "" if progress.waits else f"{count} {progress.unit}"
        metrics = "  ".join(f"{name} {_figure(each)}" for name, each in progress.metrics.items())
        if self._console.is_terminal:
            if progress.doing != self._doing:
                self._bar.reset(self._task, total=progress.total)
            self._bar.update(
                self._task,
                description=progress.doing,
                completed=progress.done,
                total=progress.total,
                count=count,
                metrics=metrics,
            )
            self._doing = progress.doing
            return
        now = time.monotonic()
        over = progress.total is not None and progress.done >= progress.total
        if progress.doing != self._doing or over or now - self._said >= _LINE_SECONDS:
            self._doing, self._said = progress.doing, now
            told = "  ".join(filter(None, (count, metrics)))
            line = f"{progress.doing}: {told}" if told else progress.doing
            self._console.print(line, highlight=False)


def _figure(value: float | int | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
