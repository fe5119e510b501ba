"""Evaluation of a model on tasks: it works as the agent, and a teacher's work is the measure.

Every task is solved twice in equal copies of a generated project: once by its teacher and once by
the model, through the agent's own turn. Names and projects are held out from training. Task n of a
seed is the same whatever else is asked for, so that evaluations can be compared task by task.
"""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Literal, Self

import anyio
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from punie.evaluation.outcomes import Due, Outcome, judge, outcome_line, summarise
from punie.evaluation.session import (
    CONFINED,
    Conditions,
    let_model_work,
    passes_tests,
    project_files,
)
from punie.models.catalog import ModelChoice, ModelUnavailable, resolve_model
from punie.models.load import close_models, open_model
from punie.models.options import EngineOptions
from punie.models.streaming import ModelUse, StreamingModel
from punie.training.data.example import Function
from punie.training.errors import TrainingError
from punie.training.generator.attaching import add_context
from punie.training.generator.families import DIRECT_FAMILIES, FAMILIES
from punie.training.generator.names import Names
from punie.training.generator.presets import Mix, preset
from punie.training.generator.projects import Project
from punie.training.generator.rollout import Conversation, RolloutError
from punie.training.generator.shards import command_environment, offered_tools
from punie.training.generator.tasks import Files, Task, TaskMaker
from punie.training.hashing import value_hash
from punie.training.output import output_folder, write_text
from punie.training.progress import Interrupted, Progress, Reporter, Stopped, never, quiet
from punie.training.provenance import model_hash
from punie.workspace.local import LocalWorkspace

OUTCOMES = "outcomes.jsonl"
SUMMARY = "evaluation.json"
_KEY = "unfinished.txt"

Wording = Literal["known", "unseen"]
_DRAWS = 100
"""How many projects are made before it is taken that none has something for a family."""
_AGAIN = 5
"""How often a task is drawn again whose own teacher does not do what is due."""


@dataclass(frozen=True)
class Needs:
    """What a task may take: model calls, and tokens of one answer."""

    requests: int
    tokens: int


_USUAL_NEEDS = Needs(requests=24, tokens=2_048)
_NEEDS = {"tiny": Needs(requests=6, tokens=400)}


class TaskOptions(BaseModel):
    """Which tasks, and how the model works on them.

    Attributes:
        count: how many tasks.
        seed: which tasks.
        wording: phrases that training shows too, or phrases that it never shows.
        preset: the generator's mix of tasks, with the limits of its tools; see `presets.toml`.
        families: only tasks of these families; those of the preset if empty.
        direct: True for questions that need no tool alone, False for tasks that need one; None for
            both as the preset mixes them.
        attempts: tries at each task; more than one needs a temperature above 0.
        temperature: 0 takes the likeliest token always.
        guided: whether the grammar holds calls, as in the product.
        max_requests: model calls of one task; None for as many as tasks of the preset may need.
        max_tokens: of one answer; None likewise.
        parallel: sessions at a time; the engine batches them. It is no part of the result, but sums
            of floats may come in another order.
        draft_model: a reference of a draft model; None for none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int = Field(default=100, ge=1, le=100_000)
    seed: int = 90_210
    wording: Wording = "known"
    preset: str = "tiny"
    families: tuple[str, ...] = ()
    direct: bool | None = None
    attempts: int = Field(default=1, ge=1, le=100)
    temperature: float = Field(default=0.0, ge=0.0, le=2.0)
    guided: bool = True
    max_requests: int | None = Field(default=None, ge=1, le=100)
    max_tokens: int | None = Field(default=None, ge=1, le=32_768)
    parallel: int = Field(default=8, ge=1, le=64)
    draft_model: str | None = None

    @model_validator(mode="after")
    def _attempts_differ(self) -> Self:
        if self.attempts > 1 and self.temperature == 0:
            raise ValueError("several attempts are all the same at temperature 0")
        return self

    @property
    def key(self) -> str:
        """A hash of all that decides the outcomes."""
        return value_hash(self.model_dump(mode="json", exclude={"parallel"}))

    @property
    def mix(self) -> Mix:
        """The generator's mix; raises `TrainingError` for a preset that there is not."""
        return preset(self.preset)

    def weights(self) -> Mapping[str, float]:
        """Return how often which family is drawn.

        Raises:
            TrainingError: there is no such preset or family, or no task is left.
        """
        unknown = [name for name in self.families if name not in FAMILIES]
        if unknown:
            raise TrainingError(
                f"The generator has no family of tasks {unknown[0]!r}; there are "
                f"{', '.join(FAMILIES)}."
            )
        plain, coded = self.mix.all_weights(), self.mix.all_weights(code=self.mix.code > 0)
        usual = {
            name: (1 - self.mix.code) * plain.get(name, 0) + self.mix.code * coded.get(name, 0)
            for name in {**plain, **coded}
        }
        wanted = {name: usual.get(name, 1.0) for name in self.families} or usual
        if self.direct is not None:
            wanted = {
                name: weight
                for name, weight in wanted.items()
                if (name in DIRECT_FAMILIES) == self.direct
            }
        if not wanted:
            raise TrainingError("No family of tasks is left; leave `families` or `direct` out.")
        return wanted


@dataclass(frozen=True)
class HeldOutTask:
    """One task in its project; `prompt` is what the user says."""

    number: int
    project: Project
    task: Task
    prompt: str


def held_out_task(number: int, options: TaskOptions, again: int = 0) -> HeldOutTask:
    """Return the task of this number.

    It depends on seed, wording, preset and families alone; with `again` it is another one.

    Raises:
        TrainingError: there are no such tasks.
    """
    weights = dict(options.weights())
    drawn = Random(f"{options.seed}:{number}:{again}")
    while weights:
        family = drawn.choices(list(weights), list(weights.values()))[0]
        for draw in range(_DRAWS):
            rng = Random(f"{options.seed}:{number}:{again}:{draw}")
            project = options.mix.project(rng, held_out=True)
            maker = TaskMaker(rng, Names(rng, held_out=True), project, options.wording == "unseen")
            task = FAMILIES[family](maker)
            if task is not None:
                return HeldOutTask(number, project, task, add_context(rng, task.prompt, project))
        del weights[family]  # Some ask about turns before, and here there are none.
    raise TrainingError("No project has something for tasks of these families; name others.")


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


@contextmanager
def fast_folder() -> Iterator[Path]:
    """Make a folder for projects, in memory where the system has a place for that."""
    memory = Path("/dev/shm")
    place = memory if memory.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="punie-", dir=place) as base:
        yield Path(base).resolve()


async def _solve(
    model: StreamingModel, options: TaskOptions, number: int, attempt: int, folder: Path
) -> Outcome:
    for again in range(_AGAIN):
        task = held_out_task(number, options, again)
        async with project_folder(task.project, folder, task.task.before) as root:
            try:
                due = await due_of(task.task, root, options.mix)
            except RolloutError:
                continue
            if not teacher_failed(task.task, task.project, due):
                break
    else:
        raise TrainingError(
            f"The generator's own teacher did not do what is due in task {number}; leave its "
            f"family ({task.task.kind}) out."
        )
    seed = None
    if options.temperature:
        seed = Random(f"{options.seed}:{number}:{attempt}:sampling").randrange(2**31)
    owner = f"evaluation-{number}-{attempt}"
    needs = _NEEDS.get(options.preset, _USUAL_NEEDS)
    conditions = Conditions(
        tools=offered_tools(code=task.task.code),
        limits=options.mix.limits,
        max_requests=options.max_requests or needs.requests,
        max_tokens=options.max_tokens or needs.tokens,
        temperature=options.temperature,
        seed=seed,
    )
    used = model.used_by(ModelUse(owner=owner, watched=False, guided=options.guided))
    async with project_folder(task.project, folder, task.task.before) as root:
        work = await let_model_work(used, root, task.prompt, conditions, due.calls)
        if task.task.verified == "tests":
            work = replace(work, tests=await passes_tests(root))
    return judge(number, attempt, task.task.kind, task.task.steps, due, work)


@asynccontextmanager
async def project_folder(
    project: Project, folder: Path, before: Files | None = None
) -> AsyncIterator[Path]:
    """Write a project into a new folder, always of the same name, and remove it in the end.

    `before` is what is different in it.
    """
    root = folder / "project"
    root.mkdir(parents=True)
    project.write(root, before)
    try:
        yield root
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def due_of(task: Task, root: Path, mix: Mix) -> Due:
    """Let a task's own teacher solve it in the project at `root`; return what that came to.

    Raises `RolloutError` if its turn did not come to its end.
    """
    workspace = LocalWorkspace([root], CONFINED)
    conversation = Conversation(workspace, offered_tools(code=task.code), mix.limits)
    try:
        transcript = await conversation.follow(task.teacher(), task.prompt)
    finally:
        await workspace.aclose()
    calls = tuple(Function(name=call.tool, arguments=call.arguments) for call in transcript.calls)
    return Due(calls, transcript.answer, project_files(root))


def teacher_failed(task: Task, project: Project, due: Due) -> bool:
    """Tell whether a teacher did not do what its task says is due."""
    if not all(said in due.answer for said in task.says):
        return True
    if task.wanted is None:
        return False
    files = {**project.files, **task.before, **task.wanted}
    wanted = {path: text.encode() for path, text in files.items() if text is not None}
    return due.files != wanted
