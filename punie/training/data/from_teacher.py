"""A larger model plays the agent in generated projects; only what is verified becomes an example.

The real agent with the real tools works on the tasks of the generator. The files and the answer
that the generator's own teacher comes to on the same task are the measure.
"""

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Self

import anyio
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from punie.agent.cancel import CancelSignal
from punie.agent.confinement import sandbox_options
from punie.agent.events import PermissionAsked, PromptText, TurnEvent, UserMessage, is_stored
from punie.agent.journal import PastTurns
from punie.agent.turn import run_turn
from punie.agent.turn_config import TurnConfig, turn_tools
from punie.models.catalog import resolve_model
from punie.models.load import close_models, open_model
from punie.models.options import engine_options
from punie.models.streaming import StreamingModel
from punie.settings import Settings, config_dir
from punie.tools.base import AnyTool, ReadLedger, ToolContext, ToolLimits
from punie.training.data.dataset import WHOLE, Dataset, Manifest, write_files
from punie.training.data.example import Example
from punie.training.data.prefixes import prompt_prefix
from punie.training.data.served import messages_after
from punie.training.data.verifying import Answers, Due, files_in, why_not_verified
from punie.training.errors import TrainingError
from punie.training.generator.generate import add_context, follow_teacher
from punie.training.generator.names import Names
from punie.training.generator.projects import Project, make_project
from punie.training.generator.scenarios import Task, TaskMaker, make_task
from punie.training.hashing import value_hash
from punie.training.output import output_folder, written_in_words
from punie.training.progress import Interrupted, Progress, Reporter, Stopped, never, quiet
from punie.training.provenance import model_hash
from punie.workspace.local import LocalWorkspace

_TASKS = "tasks.jsonl"
_TASKS_PER_PROJECT = 4
_SHOWN_ROOT = "/project"
"""What stands in examples for the temporary folder that a project is in."""
_MOST_FAILURES = 5
_STOP_SECONDS = 0.2
_FAILED = "ended with an error"


class FromTeacherOptions(BaseModel):
    """What is asked of the teacher.

    Attributes:
        tasks: how many tasks, of which those that it solves become examples.
        seed: makes the tasks, and what is sampled.
        attempts: how often it may try a task; the first right try counts.
        temperature: of its sampling; 0 takes the likeliest token, every time the same.
        answers: whether its answers must be those of the generator word for word ("exact") or tell
            the same names, numbers and outputs ("facts").
        code_mode: whether it calls tools from code.
        max_requests: model calls for one try.
        max_tokens: tokens of one response.
        result_chars: characters of one tool result; None lets its window decide.
        parallel: how many sessions are under way at a time; changes only how fast it is done.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: int = Field(default=200, ge=1)
    seed: int = 1
    attempts: int = Field(default=1, ge=1, le=64)
    temperature: float = Field(default=0.0, ge=0, le=2)
    answers: Answers = "facts"
    code_mode: bool = False
    max_requests: int = Field(default=12, ge=1)
    max_tokens: int = Field(default=1024, ge=1)
    result_chars: int | None = Field(default=None, ge=200)
    parallel: int = Field(default=4, ge=1, le=64)

    @model_validator(mode="after")
    def _tries_differ(self) -> Self:
        if self.attempts > 1 and not self.temperature:
            raise ValueError("attempts needs a temperature above 0, else all tries are the same")
        return self


class _Finished(BaseModel):
    """A task that is done with: its example if it was solved, and why other tries failed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: int
    example: Example | None
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Posed:
    """A task in its project."""

    number: int
    project: Project
    task: Task
    prompt: str


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
        prefix = prompt_prefix(_tools(options))
        manifest = Manifest(
            made_by="from-teacher",
            recipe={**recipe, "tasks": options.tasks, "dropped": dict(sorted(dropped.items()))},
            seed=options.seed,
            parents={"teacher": made_by},
            prefixes={prefix.id: prefix},
        )
        whole = write_files(folder, manifest, {WHOLE: examples})
        (folder / _TASKS).unlink()
    return Dataset(out, whole)


def _tools(options: FromTeacherOptions) -> tuple[AnyTool, ...]:
    return turn_tools((), attended=True, code_mode=options.code_mode)


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
        stage = _Stage(options, model, settings, file, finished, report)
        stage.show()
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
        settings: Settings,
        file: Path,
        finished: dict[int, _Finished],
        report: Reporter,
    ) -> None:
        self._options = options
        self._model = model
        self._sandbox = sandbox_options(settings, config_dir())
        self._file = file
        self._finished = finished
        self._report = report
        self._tools = _tools(options)
        self._by_name: Mapping[str, AnyTool] = {tool.name: tool for tool in self._tools}
        self._prefix = prompt_prefix(self._tools).id
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
        posed = pose_task(self._options.seed, number)
        with tempfile.TemporaryDirectory(dir=_fast_folder()) as folder:
            root = Path(folder).resolve() / "project"
            due = await self._due(posed, root)
            dropped: list[str] = []
            for attempt in range(self._options.attempts):
                events = await self._let_work(posed, root, attempt)
                reason = why_not_verified(
                    due, events, files_in(root), self._by_name, self._options.answers
                )
                self._failures = self._failures + 1 if reason == _FAILED else 0
                if reason is None:
                    example = self._example(posed, events, root)
                    return _Finished(task=number, example=example, dropped=tuple(dropped))
                dropped.append(reason)
            return _Finished(task=number, example=None, dropped=tuple(dropped))

    async def _due(self, posed: _Posed, root: Path) -> Due:
        _write(posed.project, root)
        workspace = LocalWorkspace([root], self._sandbox)
        context = ToolContext(workspace, ReadLedger(), self._limits, check_edits=False)
        transcript = await follow_teacher(posed.task, context)
        await workspace.aclose()
        return Due(files_in(root), transcript.answer, len(transcript.calls))

    async def _let_work(self, posed: _Posed, root: Path, attempt: int) -> list[TurnEvent]:
        _write(posed.project, root)
        events: list[TurnEvent] = []

        async def emit(event: TurnEvent) -> None:
            if is_stored(event):
                events.append(event)

        async def refuse(asked: PermissionAsked) -> str | None:
            return next(c.id for c in asked.choices if c.kind == "reject_once")

        workspace = LocalWorkspace([root], self._sandbox)
        options = self._options
        config = TurnConfig(
            model=self._model,
            workspace=workspace,
            reads=ReadLedger(),
            tools=self._tools,
            mode=lambda: "auto",
            limits=self._limits,
            max_requests=options.max_requests,
            max_tokens=options.max_tokens,
            temperature=options.temperature,
            seed=_seed(options.seed, posed.number, attempt),
        )
        message = UserMessage(
            message_id=f"task-{posed.number}",
            blocks=(PromptText(text=posed.prompt),),
            text=posed.prompt,
        )
        past, cancel = PastTurns(), CancelSignal()
        try:
            await run_turn(config, message, past, emit=emit, ask=refuse, cancel=cancel)
        finally:
            with anyio.CancelScope(shield=True):
                await workspace.aclose()
        return events

    def _example(self, posed: _Posed, events: Sequence[TurnEvent], root: Path) -> Example:
        example = Example(
            messages=tuple(messages_after(events)),
            prefix=self._prefix,
            task=posed.task.kind,
            project=f"teacher-{self._options.seed}-{posed.number // _TASKS_PER_PROJECT}",
            source="teacher",
            executed=True,
            checked="files",
        )
        # The same wherever it was made.
        shown = example.model_dump_json().replace(json.dumps(str(root))[1:-1], _SHOWN_ROOT)
        return Example.model_validate_json(shown)

    @property
    def _limits(self) -> ToolLimits:
        if self._options.result_chars is None:
            return ToolLimits()
        return ToolLimits(result_chars=self._options.result_chars)


def pose_task(seed: int, number: int) -> _Posed:
    """Return a task and its project; the same for the same seed and number."""
    project_number, place = divmod(number, _TASKS_PER_PROJECT)
    project = make_project(Random(f"{seed} project {project_number}"))
    rng = Random(f"{seed} task {number} {place}")
    task = make_task(TaskMaker(rng, Names(rng, False), project))
    return _Posed(number, project, task, add_context(rng, task.prompt, project))


def _write(project: Project, root: Path) -> None:
    """Make a folder hold exactly a project's files."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    project.write(root)


def _seed(*parts: int) -> int:
    return int(value_hash(list(parts))[:7], 16)


def _fast_folder() -> Path | None:
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and os.access(memory, os.W_OK) else None
