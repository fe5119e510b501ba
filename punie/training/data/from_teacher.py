"""A larger model plays the agent in generated projects; only what is verified becomes an example.

The real agent with the real tools works on the tasks of the generator. The files and the answer
that the generator's own teacher comes to on the same task are the measure.
"""

import math
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Literal, Self

import anyio
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from punie.evaluation.held_out import (
    due_of,
    fast_folder,
    project_folder,
    task_item,
    teacher_failed,
)
from punie.evaluation.outcomes import Due, same_tests, verdict
from punie.evaluation.session import Conditions, passes_tests, work_on
from punie.evaluation.suite import Needs
from punie.evaluation.work import Work
from punie.models.catalog import resolve_model
from punie.models.load import close_models, open_model
from punie.models.options import engine_options
from punie.models.streaming import ModelUse, StreamingModel
from punie.settings import Settings
from punie.tools.base import ToolLimits
from punie.training.data.dataset import WHOLE, Dataset, Manifest, write_files
from punie.training.data.example import Example, PromptPrefix
from punie.training.data.prefixes import prompt_prefix
from punie.training.errors import TrainingError
from punie.training.generator.attaching import add_context
from punie.training.generator.families import make_task
from punie.training.generator.names import Names
from punie.training.generator.presets import Mix, changed_preset
from punie.training.generator.projects import Project
from punie.training.generator.rollout import RolloutError
from punie.training.generator.shards import command_environment, offered_tools
from punie.training.generator.tasks import Task, TaskMaker
from punie.training.hashing import value_hash
from punie.training.output import output_folder, written_in_words
from punie.training.progress import Interrupted, Progress, Reporter, Stopped, never, quiet
from punie.training.provenance import model_hash

_TASKS = "tasks.jsonl"
_TASKS_PER_PROJECT = 4
_MOST_FAILURES = 5
_STOP_SECONDS = 0.2
_NO_MEASURE = "the generator's own teacher could not do it"

Answers = Literal["exact", "facts"]
"""Whether an answer must be what is due word for word, or only tell all that it tells."""


class FromTeacherOptions(BaseModel):
    """What is asked of the teacher.

    Attributes:
        tasks: how many tasks, of which those that it solves become examples.
        preset: the generator's mix that they are of.
        weights: how often which family of tasks, in place of what the preset says; 0 for never.
        seed: makes the tasks, and what is sampled.
        attempts: how often it may try a task; the first right try counts.
        temperature: of its sampling; 0 takes the likeliest token, every time the same.
        answers: whether its answers must be those of the generator word for word ("exact") or tell
            the same names, numbers and outputs ("facts").
        max_requests: model calls for one try.
        max_tokens: tokens of one response.
        result_chars: characters of one tool result; None for those of the preset.
        parallel: how many sessions are under way at a time; changes only how fast it is done.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: int = Field(default=200, ge=1)
    preset: str = "coder"
    weights: dict[str, float] = Field(default_factory=dict)
    seed: int = 1
    attempts: int = Field(default=1, ge=1, le=64)
    temperature: float = Field(default=0.0, ge=0, le=2)
    answers: Answers = "facts"
    max_requests: int = Field(default=12, ge=1)
    max_tokens: int = Field(default=1024, ge=1)
    result_chars: int | None = Field(default=None, ge=200)
    parallel: int = Field(default=4, ge=1, le=64)

    @model_validator(mode="after")
    def _tries_differ(self) -> Self:
        if self.attempts > 1 and not self.temperature:
            raise ValueError("attempts needs a temperature above 0, else all tries are the same")
        return self

    def mix(self) -> Mix:
        """Return the mix that the tasks are of.

        Raises:
            TrainingError: there is no such preset or family, or nothing to mix.
        """
        return changed_preset(self.preset, self.weights)


class _Finished(BaseModel):
    """A task that is done with: its example if it was solved, and why other tries failed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: int
    example: Example | None
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Posed:
    """A task in its project; `code` tells that tools are called from code."""

    number: int
    project: Project
    task: Task
    prompt: str
    code: bool


def from_teacher(
    options: FromTeacherOptions,
    teacher: str,
    settings: Settings,
    out: Path,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> Dataset:
    """Write a dataset of what a teacher did right; it has one part.

    `teacher` is a reference as the catalogue understands it; one on a server (`openai:NAME`) is
    found by the settings. Tasks that are done with are kept when it is interrupted, and another
    call with the same options goes on from there. What was dropped is counted by reason in the
    recipe.

    Raises:
        TrainingError: `out` exists or cannot be written, the teacher fails again and again, or it
            solved nothing.
        ModelUnavailable: there is no such model.
    """
    pose_task(options, 0)
    choice = resolve_model(teacher)
    made_by = choice.id if choice.path is None else model_hash(choice.path)
    key = value_hash([options.model_dump(exclude={"parallel"}), made_by])
    with output_folder(out, keep_unfinished=True) as folder:
        finished = _read_finished(folder / _TASKS, key)
        try:
            anyio.run(_play, options, teacher, settings, folder / _TASKS, finished, report, stopped)
        except BaseException:
            if not finished:  # There is nothing to go on from.
                shutil.rmtree(folder)
            raise
        done = [finished[number] for number in sorted(finished)]
        examples = [each.example for each in done if each.example is not None]
        dropped = Counter(reason for each in done for reason in each.dropped)
        if not examples:
            reasons = ", ".join(f"{reason}: {count}" for reason, count in dropped.most_common())
            raise TrainingError(f"The teacher solved none of {len(done)} tasks ({reasons}).")
        recipe = options.model_dump(mode="json", exclude_defaults=True, exclude={"parallel"})
        used = {example.prefix for example in examples}
        manifest = Manifest(
            made_by="from-teacher",
            recipe={**recipe, "tasks": options.tasks, "dropped": dict(sorted(dropped.items()))},
            seed=options.seed,
            parents={"teacher": made_by},
            prefixes={name: each for name, each in _prefixes().items() if name in used},
        )
        whole = write_files(folder, manifest, {WHOLE: examples})
        (folder / _TASKS).unlink()
    return Dataset(out, whole)


def _prefixes() -> dict[str, PromptPrefix]:
    """Return the prompt prefixes of tasks by id: those with all tools, and with code alone."""
    found = [prompt_prefix(offered_tools(code=code)) for code in (False, True)]
    return {prefix.id: prefix for prefix in found}


def _read_finished(file: Path, key: str) -> dict[int, _Finished]:
    """Return the tasks that an interrupted call with the same key has finished."""
    lines: list[str] = []
    with suppress(FileNotFoundError, UnicodeDecodeError):
        lines = file.read_text(encoding="utf-8").split("\n")
    if not lines or lines[0] != key:
        file.write_text(key + "\n", encoding="utf-8")
        return {}
    found: dict[int, _Finished] = {}
    for line in lines[1:]:
        try:
            finished = _Finished.model_validate_json(line)
        except ValidationError:
            continue  # The end of a line that a killed process did not finish.
        found[finished.task] = finished
    with file.open("a", encoding="utf-8") as out:
        out.write("\n")  # So that half a line spoils only itself.
    return found


async def _play(
    options: FromTeacherOptions,
    teacher: str,
    settings: Settings,
    file: Path,
    finished: dict[int, _Finished],
    report: Reporter,
    stopped: Stopped,
) -> None:
    """Let the teacher work on all tasks that are not finished, and write down how each ended."""
    missing = [number for number in range(options.tasks) if number not in finished]
    if not missing:
        return
    model = await open_model(resolve_model(teacher), options=engine_options(settings))
    try:
        stage = _Stage(options, model, file, finished, report)
        stage.show()
        with command_environment():
            async with anyio.create_task_group() as group:
                group.start_soon(stage.watch, stopped, group.cancel_scope)
                async with anyio.create_task_group() as players:
                    waiting = iter(missing)
                    for _ in range(options.parallel):
                        players.start_soon(stage.play, waiting, group.cancel_scope)
                group.cancel_scope.cancel()
        if stage.trouble is not None:
            raise stage.trouble
    finally:
        await close_models()


class _Stage:
    """What the sessions that are under way share."""

    def __init__(
        self,
        options: FromTeacherOptions,
        model: StreamingModel,
        file: Path,
        finished: dict[int, _Finished],
        report: Reporter,
    ) -> None:
        self._options = options
        self._model = model
        self._file = file
        self._finished = finished
        self._report = report
        self._mix = options.mix()
        self._prefixes = {
            code: prompt_prefix(offered_tools(code=code)).id for code in (False, True)
        }
        self._failures = 0
        self.trouble: TrainingError | None = None

    def show(self) -> None:
        """Tell how far it is."""
        kept = sum(each.example is not None for each in self._finished.values())
        progress = Progress(
            "asking the teacher", len(self._finished), self._options.tasks, "tasks", {"kept": kept}
        )
        self._report(progress)

    async def watch(self, stopped: Stopped, scope: anyio.CancelScope) -> None:
        """End everything once the step is to stop."""
        while not stopped():
            await anyio.sleep(_STOP_SECONDS)
        self.trouble = Interrupted(
            f"Stopped after {len(self._finished)} of {self._options.tasks} tasks, which are kept; "
            "give the same command again to go on."
        )
        scope.cancel()

    async def play(self, waiting: Iterator[int], scope: anyio.CancelScope) -> None:
        """Take one waiting task after another to its end."""
        for number in waiting:
            try:
                finished = await self._take(number)
                line = finished.model_dump_json(exclude_defaults=True) + "\n"
                with self._file.open("a", encoding="utf-8") as out:
                    out.write(line)
            except OSError as error:
                self.trouble = TrainingError(written_in_words(error, self._file))
            if self._failures >= _MOST_FAILURES and self.trouble is None:
                self.trouble = TrainingError(
                    f"The teacher failed {self._failures} times in a row, so no more was asked of "
                    "it; see whether it can be used with `punie ask --model`."
                )
            if self.trouble is not None:
                scope.cancel()
                return
            self._finished[number] = finished
            self.show()

    async def _take(self, number: int) -> _Finished:
        posed = pose_task(self._options, number)
        before = posed.task.before
        with fast_folder() as base:
            try:
                async with project_folder(posed.project, base / "due", before) as root:
                    due = await due_of(posed.task, root, self._mix)
            except RolloutError:
                return _Finished(task=number, example=None, dropped=(_NO_MEASURE,))
            if teacher_failed(posed.task, posed.project, due):
                return _Finished(task=number, example=None, dropped=(_NO_MEASURE,))
            dropped: list[str] = []
            for attempt in range(self._options.attempts):
                own = base / f"try-{attempt}"
                async with project_folder(posed.project, own, before) as root:
                    work = await self._let_work(posed, root, due, attempt)
                    tests = await passes_tests(root) if posed.task.verified == "tests" else None
                self._failures = self._failures + 1 if work.trouble else 0
                reason = why_not_verified(due, work, self._options.answers, tests)
                if reason is None:
                    example = self._example(posed, work)
                    return _Finished(task=number, example=example, dropped=tuple(dropped))
                dropped.append(reason)
            return _Finished(task=number, example=None, dropped=tuple(dropped))

    async def _let_work(self, posed: _Posed, root: Path, due: Due, attempt: int) -> Work:
        options = self._options
        needs = Needs(options.max_requests, options.max_tokens, seconds=math.inf)
        name = str(posed.number)
        item = task_item(name, posed.project, posed.task, posed.prompt, due, self._mix, needs)
        conditions = Conditions(
            temperature=options.temperature,
            seed=_seed(options.seed, posed.number, attempt) if options.temperature else None,
        )
        owner = f"teacher-{posed.number}-{attempt}"
        used = self._model.used_by(ModelUse(owner=owner, watched=False))
        limited = replace(item, limits=self._limits)
        return await work_on(limited, used, root, conditions)

    def _example(self, posed: _Posed, work: Work) -> Example:
        return Example(
            messages=work.messages,
            prefix=self._prefixes[posed.code],
            task=posed.task.kind,
            project=f"teacher-{self._options.seed}-{posed.number // _TASKS_PER_PROJECT}",
            source="teacher",
            executed=True,
            checked=posed.task.verified or "files",
        )

    @property
    def _limits(self) -> ToolLimits:
        limits = self._mix.limits
        chars = self._options.result_chars
        return limits if chars is None else replace(limits, result_chars=chars)


def pose_task(options: FromTeacherOptions, number: int) -> _Posed:
    """Return a task and its project; the same for the same seed, mix and number.

    Raises:
        TrainingError: there is no such preset or family, or nothing to mix.
    """
    seed, mix = options.seed, options.mix()
    project_number, place = divmod(number, _TASKS_PER_PROJECT)
    project = mix.project(Random(f"{seed} project {project_number}"))
    rng = Random(f"{seed} task {number} {place}")
    code = rng.random() < mix.code
    maker = TaskMaker(rng, Names(rng, False), project)
    task = make_task(maker, mix.all_weights(code=code))
    return _Posed(number, project, task, add_context(rng, task.prompt, project), code)


def why_not_verified(
    due: Due, work: Work, answers: Answers = "facts", tests: bool | None = None
) -> str | None:
    """Return in a few words what is wrong with a model's work on a task, None if it is right.

    With `tests`, whether the project's own pass, other changes than those of the generator's
    teacher are right as well, as long as they leave the tests alone.
    """
    if tests is not None:
        if not same_tests(due, work):
            return "it changed the tests"
        if not tests:
            return "the tests do not pass"
        work = replace(work, files=due.files)
    solved = verdict(1, due, work).checks["solved"]
    reasons = (
        (bool(work.trouble), "ended with an error"),
        (work.stop != "end_turn", f"ended by {work.stop}"),
        (work.cut, "the model repeated itself"),
        (work.not_run > 0, "a call did not run"),
        (not work.answer, "no answer"),
        (bool(due.calls) and not work.calls, "it answered without looking"),
        (bool(work.calls) and not due.calls, "it used tools where none are needed"),
        (work.files != due.files, "the files are not as due"),
        (answers == "exact" and not solved.strict, "the answer is not as due"),
        (bool(due.calls) and not solved.soft, "the answer lacks what is due"),
    )
    return next((reason for is_so, reason in reasons if is_so), None)


def _seed(*parts: int) -> int:
    return int(value_hash(list(parts))[:7], 16)
