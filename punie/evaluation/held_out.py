"""Held-out tasks: which, in which projects, and what their own teachers make of them."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from punie.evaluation.confinement import CONFINED
from punie.evaluation.elsewhere import with_what_is_said_anywhere
from punie.evaluation.outcomes import Due, facts_of, shows_fact, verdict
from punie.evaluation.results import untime
from punie.evaluation.run_options import RunOptions
from punie.evaluation.session import executed_calls, passes_tests, project_files
from punie.evaluation.suite import Item, Needs, Say, Verdict
from punie.evaluation.work import Work
from punie.training.data.example import Function
from punie.training.errors import TrainingError
from punie.training.generator.attaching import add_context
from punie.training.generator.families import DIRECT_FAMILIES, FAMILIES
from punie.training.generator.names import Names
from punie.training.generator.presets import Mix, preset
from punie.training.generator.projects import Project
from punie.training.generator.rollout import Conversation, RolloutError
from punie.training.generator.shards import offered_tools
from punie.training.generator.tasks import Files, Task, TaskMaker
from punie.workspace.local import LocalWorkspace

Wording = Literal["known", "unseen"]
_DRAWS = 100
"""How many projects are made before it is taken that none has something for a family."""
_AGAIN = 5
"""How often a task is drawn again whose own teacher does not do what is due."""


_USUAL_NEEDS = Needs(seconds=900.0)
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
    def run(self) -> RunOptions:
        """How the tasks are done."""
        return RunOptions(
            seeds=(self.seed,),
            attempts=self.attempts,
            temperature=self.temperature,
            guided=self.guided,
            draft_model=self.draft_model,
            parallel=self.parallel,
        )

    @property
    def needs(self) -> Needs:
        """What a task may take."""
        usual = _NEEDS.get(self.preset, _USUAL_NEEDS)
        requests = self.max_requests or usual.requests
        return Needs(requests, self.max_tokens or usual.tokens, usual.seconds)

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


@contextmanager
def fast_folder() -> Iterator[Path]:
    """Make a folder for projects, in memory where the system has a place for that."""
    memory = Path("/dev/shm")
    place = memory if memory.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="punie-", dir=place) as base:
        yield Path(base).resolve()


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
    before = project_files(root)
    conversation = Conversation(workspace, offered_tools(code=task.code), mix.limits)
    try:
        transcript = await conversation.follow(task.teacher(), task.prompt)
    finally:
        await workspace.aclose()
    calls = tuple(Function(name=call.tool, arguments=call.arguments) for call in transcript.calls)
    files = project_files(root)
    made = tuple(executed_calls(conversation.events, root))
    executed = await with_what_is_said_anywhere(made, root, ())
    shown = tuple(
        fact
        for fact in facts_of(untime(transcript.answer))
        if any(shows_fact(each, fact) for each in executed)
    )
    return Due(calls, transcript.answer, files, shown, changes=files != before)


def task_item(
    name: str, project: Project, task: Task, prompt: str, due: Due, mix: Mix, needs: Needs
) -> Item:
    """Return a task as an item, judged by what its teacher made of it.

    Only what the teacher did may run where the user would be asked.
    """

    async def judged(work: Work, root: Path) -> Verdict:
        if task.verified == "tests":
            work = replace(work, tests=await passes_tests(root))
        return verdict(task.steps, due, work)

    def is_due(call: Function) -> bool:
        return call in due.calls

    return Item(
        name=name,
        kind=task.kind,
        actions=(Say(prompt),),
        prepare=lambda root: project.write(root, task.before),
        judge=judged,
        mode="auto",
        allows=is_due,
        unconfined=is_due,
        tools=offered_tools(code=task.code),
        limits=mix.limits,
        code=task.code,
        needs=needs,
    )


async def done_by_teacher(
    number: int, options: TaskOptions, folder: Path
) -> tuple[HeldOutTask, Due]:
    """Return the task of this number, and what its teacher makes of it in a new `folder`.

    Raises:
        TrainingError: there are no such tasks, or their teachers do not do what is due.
    """
    for again in range(_AGAIN):
        task = held_out_task(number, options, again)
        async with project_folder(task.project, folder, task.task.before) as root:
            try:
                due = await due_of(task.task, root, options.mix)
            except RolloutError:
                continue
        if not teacher_failed(task.task, task.project, due):
            return task, due
    raise TrainingError(
        f"The generator's own teacher did not do what is due in task {number}; leave its "
        f"family ({task.task.kind}) out."
    )


def teacher_failed(task: Task, project: Project, due: Due) -> bool:
    """Tell whether a teacher did not do what its task says is due."""
    if not all(said in due.answer for said in task.says):
        return True
    if task.wanted is None:
        return False
    files = {**project.files, **task.before, **task.wanted}
    wanted = {path: text.encode() for path, text in files.items() if text is not None}
    return due.files != wanted
