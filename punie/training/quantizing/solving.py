"""Which held-out tasks a model solves, known for good once it is known."""

from pathlib import Path

from punie.evaluation.tasks import TaskOptions, evaluate_tasks, read_outcomes
from punie.training.progress import Reporter, Stopped, never, quiet


def solved_tasks(
    model: Path,
    options: TaskOptions,
    kept: Path,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> tuple[bool, ...]:
    """Tell for each task whether a model solves it, and keep the outcomes in the folder `kept`.

    If they are there already, they are of the same model and options: that is the caller's part.

    Raises:
        Interrupted: it was asked to stop; the same call goes on with the task that was due.
        TrainingError: the model cannot be run by the engine.
    """
    if kept.exists():
        outcomes = read_outcomes(kept)
    else:
        outcomes = evaluate_tasks(model.resolve(), options, kept, report, stopped)
    return tuple(outcome.solved for outcome in outcomes)
