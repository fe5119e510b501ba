"""Which held-out tasks a model solves, known for good once it is known."""

from pathlib import Path

from punie.evaluation.tasks import TaskOptions, evaluate_tasks, read_tasks
from punie.training.progress import Reporter, Stopped, never, quiet


def solved_tasks(
    model: Path,
    options: TaskOptions,
    kept: Path,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> tuple[bool, ...]:
    """Tell for each task whether a model solves it, and keep the results in the folder `kept`.

    If they are there already, they are of the same model and options: that is the caller's part.

    Raises:
        Interrupted: it was asked to stop; the same call goes on with the task that was due.
        TrainingError: the model cannot be run by the engine.
    """
    if kept.exists():
        results = read_tasks(kept)
    else:
        results = evaluate_tasks(model.resolve(), options, kept, report, stopped)
    return tuple(result.solved.strict for result in results)
