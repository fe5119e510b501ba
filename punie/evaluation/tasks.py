"""Evaluation of a model on tasks: it works as the agent, and a teacher's work is the measure.

Every task is solved twice in equal copies of a generated project: once by its teacher and once by
the model, through the agent's own turn. Names and projects are held out from training. Task n of a
seed is the same whatever else is asked for, so that evaluations can be compared task by task.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import anyio
from pydantic import BaseModel, ConfigDict, ValidationError

from punie.evaluation.held_out import (
    TaskOptions,
    Wording,
    done_by_teacher,
    fast_folder,
    held_out_task,
    project_folder,
    task_item,
)
from punie.evaluation.outcomes import Outcome, judge, outcome_line, summarise
from punie.evaluation.session import Conditions, passes_tests, work_on
from punie.models.catalog import ModelChoice, ModelUnavailable, resolve_model
from punie.models.load import close_models, open_model
from punie.models.options import EngineOptions
from punie.models.streaming import ModelUse, StreamingModel
from punie.training.errors import TrainingError
from punie.training.generator.shards import command_environment
from punie.training.output import output_folder, write_text
from punie.training.progress import Interrupted, Progress, Reporter, Stopped, never, quiet
from punie.training.provenance import model_hash

__all__ = [
    "OUTCOMES",
    "SUMMARY",
    "Kept",
    "Summary",
    "TaskOptions",
    "Wording",
    "evaluate_tasks",
    "read_outcomes",
    "solve_tasks",
]

OUTCOMES = "outcomes.jsonl"
SUMMARY = "evaluation.json"
_KEY = "unfinished.txt"


def evaluate_tasks(
    model: Path | str,
    options: TaskOptions,
    out: Path | None = None,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> list[Outcome]:
    """Let a model (a folder or a reference) solve tasks; outcomes come in the order of the tasks.

    With `out` they are written there as JSON lines beside a summary, each as soon as it is known,
    so that the same call goes on where it was interrupted. Not for use inside an event loop.

    Raises:
        TrainingError: the model cannot be opened, there are no such tasks, or `out` cannot be
            written; `Interrupted` if it was asked to stop.
    """
    held_out_task(0, options)
    _resolve(str(model))
    if out is None:
        return anyio.run(_evaluate, str(model), options, None, report, stopped)
    with output_folder(out, keep_unfinished=True) as folder:
        outcomes = anyio.run(_evaluate, str(model), options, folder, report, stopped)
        (folder / OUTCOMES).write_text("".join(map(outcome_line, outcomes)), encoding="utf-8")
        summary = Summary(
            model=_model_hash(str(model)), options=options, scores=summarise(outcomes)
        )
        write_text(folder / SUMMARY, summary.model_dump_json(indent=2) + "\n")
        (folder / _KEY).unlink()
    return outcomes


class Summary(BaseModel):
    """What `evaluation.json` holds: the model's hash, the options, and rates with intervals."""

    model_config = ConfigDict(frozen=True)

    model: str
    options: TaskOptions
    scores: dict[str, Any]


def read_outcomes(folder: Path) -> list[Outcome]:
    """Read the outcomes of an evaluation.

    Raises:
        TrainingError: there are none, or a line is not one.
    """
    file = folder / OUTCOMES
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        return [Outcome.model_validate_json(line) for line in lines]
    except OSError as error:
        raise TrainingError(f"{file} cannot be read ({error.strerror}).") from error
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise TrainingError(f"{file} holds a line that is not an outcome ({reason}).") from error


async def _evaluate(
    model: str, options: TaskOptions, folder: Path | None, report: Reporter, stopped: Stopped
) -> list[Outcome]:
    try:
        engine = EngineOptions(draft_model=options.draft_model)
        opened = await open_model(_resolve(model), options=engine)
    except ModelUnavailable as error:
        raise TrainingError(str(error)) from error
    try:
        if options.draft_model is not None and opened.warnings:
            raise TrainingError(opened.warnings[0])
        kept = Kept.none() if folder is None else Kept.open(folder, _model_hash(model), options)
        return await solve_tasks(opened, options, kept, report, stopped)
    finally:
        with anyio.CancelScope(shield=True):
            await close_models()


def _resolve(reference: str) -> ModelChoice:
    try:
        return resolve_model(reference)
    except ModelUnavailable as error:
        raise TrainingError(str(error)) from error


def _model_hash(reference: str) -> str:
    path = _resolve(reference).path
    return reference if path is None or not path.is_dir() else model_hash(path)


class Kept:
    """Outcomes of an evaluation that is under way, in a file; without one they are only held."""

    def __init__(self, file: Path | None, outcomes: Sequence[Outcome]) -> None:
        self.file = file
        self.outcomes = list(outcomes)

    @classmethod
    def none(cls) -> "Kept":
        """Return what keeps nothing."""
        return cls(None, ())

    @classmethod
    def open(cls, folder: Path, model: str, options: TaskOptions) -> "Kept":
        """Take up what is in the folder, if it is of the same model and options."""
        key, file = folder / _KEY, folder / OUTCOMES
        own = f"{model} {options.key}"
        if not key.is_file() or key.read_text(encoding="utf-8") != own:
            file.unlink(missing_ok=True)
            key.write_text(own, encoding="utf-8")
        outcomes = list(_whole_lines(file)) if file.exists() else []
        file.write_text("".join(map(outcome_line, outcomes)), encoding="utf-8")
        return cls(file, outcomes)

    def add(self, outcome: Outcome) -> None:
        """Keep one more."""
        self.outcomes.append(outcome)
        if self.file is not None:
            with self.file.open("a", encoding="utf-8") as out:
                out.write(outcome_line(outcome))


def _whole_lines(file: Path) -> Iterator[Outcome]:
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            yield Outcome.model_validate_json(line)
        except ValidationError:
            return  # The last one was cut when the process ended.


async def solve_tasks(
    model: StreamingModel,
    options: TaskOptions,
    kept: Kept | None = None,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> list[Outcome]:
    """Let an open model solve tasks, several at a time; outcomes come in the order of the tasks.

    Raises:
        Interrupted: it was asked to stop; tasks under way were finished.
        TrainingError: there are no such tasks.
        OSError: an outcome cannot be kept.
    """
    kept = kept or Kept.none()
    done = {(outcome.number, outcome.attempt) for outcome in kept.outcomes}
    total = options.count * options.attempts
    left = iter(
        (number, attempt)
        for number in range(options.count)
        for attempt in range(options.attempts)
        if (number, attempt) not in done
    )

    def tell() -> None:
        solved = sum(outcome.solved for outcome in kept.outcomes)
        metrics = {"solved": solved / max(1, len(kept.outcomes))}
        report(Progress("solving", len(kept.outcomes), total, "tasks", metrics))

    trouble: list[Exception] = []

    async def work(folder: Path) -> None:
        try:
            for number, attempt in left:
                if stopped() or trouble:
                    return
                kept.add(await _solve(model, options, number, attempt, folder))
                tell()
        except Exception as error:  # as it is, not in the group that the tasks would make of it
            trouble.append(error)

    tell()
    with fast_folder() as base, command_environment():
        async with anyio.create_task_group() as group:
            for worker in range(min(options.parallel, max(1, total - len(done)))):
                group.start_soon(work, base / f"{worker:02}")
    if trouble:
        raise trouble[0]
    if len(kept.outcomes) < total:
        goes_on = "" if kept.file is None else "; the same command goes on there"
        raise Interrupted(f"Stopped after {len(kept.outcomes)} of {total} tasks{goes_on}.")
    return sorted(kept.outcomes, key=lambda outcome: (outcome.number, outcome.attempt))


async def _solve(
    model: StreamingModel, options: TaskOptions, number: int, attempt: int, folder: Path
) -> Outcome:
    task, due = await done_by_teacher(number, options, folder)
    seed = None
    if options.temperature:
        seed = Random(f"{options.seed}:{number}:{attempt}:sampling").randrange(2**31)
    owner = f"evaluation-{number}-{attempt}"
    item = task_item(
        str(number), task.project, task.task, task.prompt, due, options.mix, options.needs
    )
    conditions = Conditions(temperature=options.temperature, seed=seed)
    used = model.used_by(ModelUse(owner=owner, watched=False, guided=options.guided))
    async with project_folder(task.project, folder, task.task.before) as root:
        work = await work_on(item, used, root, conditions)
        if task.task.verified == "tests":
            work = replace(work, tests=await passes_tests(root))
    return judge(number, attempt, task.task.kind, task.task.steps, due, work)
