"""A shard: some examples of one part of a dataset, made one after another in one folder.

A shard depends on nothing but its job, so that it does not matter which process makes it, or when.
"""

import importlib.util
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Literal

import anyio

from punie.agent.policy import DENIED
from punie.agent.turn_config import turn_tools
from punie.evaluation.session import project_files
from punie.tools.base import AnyTool
from punie.tools.catalog import READING_TOOLS
from punie.training.data.dataset import read_examples
from punie.training.data.example import Example, Message
from punie.training.data.leakage import NEAR
from punie.training.data.likeness import NearDuplicates, normalised, shingles_of, words_of
from punie.training.data.prefixes import prompt_prefix
from punie.training.data.served import messages_after
from punie.training.errors import TrainingError
from punie.training.generator.attaching import add_context
from punie.training.generator.families import make_task
from punie.training.generator.names import Names
from punie.training.generator.phrasing import PartName
from punie.training.generator.presets import Mix
from punie.training.generator.projects import Project
from punie.training.generator.rollout import Conversation, RolloutError, Transcript
from punie.training.generator.tasks import Files, Task, TaskMaker
from punie.workspace.environment import own_venv_offered
from punie.workspace.local import LocalWorkspace

EXAMPLES_PER_PROJECT = 10

_ATTEMPTS = 300
_SHORTEST_LIMIT = 3.0
"""Seconds: no limit of time in these conversations is shorter."""
_PLAYS = 5
_SHOWN_FOLDER = "/project"
_LOOKING = frozenset({"run_code", *(tool.name for tool in READING_TOOLS)})

Checked = Literal["", "tests", "files"]


@dataclass(frozen=True)
class Job:
    """What makes a shard: equal jobs make equal shards.

    Attributes:
        mix: what it is a mix of.
        part: which part of the dataset it belongs to.
        number: its number in that part.
        seed: of the whole dataset.
        slots: for each example, whether it is answered without a tool and whether in code mode.
        held_out_words: whether the wording is what training never shows.
        apart_from: files of the parts made before, whose queries must not be asked here.
    """

    mix: Mix
    part: PartName
    number: int
    seed: int
    slots: tuple[tuple[bool, bool], ...]
    held_out_words: bool = False
    apart_from: tuple[Path, ...] = ()


@dataclass
class Shard:
    """The examples, and why others were dropped, counted by family and reason."""

    examples: list[Example] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)


def make_shard(job: Job) -> Shard:
    """Make a shard, in a folder of its own in memory where there is such a place.

    Raises:
        TrainingError: the families do not make enough examples that pass their checks.
    """
    memory = Path("/dev/shm")
    with (
        command_environment(),
        tempfile.TemporaryDirectory(
            prefix="punie-", dir=memory if os.access(memory, os.W_OK) else None
        ) as folder,
    ):
        return anyio.run(_Maker(job, Path(folder).resolve()).make)


@contextmanager
def command_environment() -> Iterator[None]:
    """Make commands the same everywhere for the time: this Python, nothing of the user's.

    Without pytest beside Punie it is the user's Python, which may have it.
    """
    before = dict(os.environ)
    has_pytest = importlib.util.find_spec("pytest") is not None
    os.environ |= {
        # `python3` is this interpreter, not a slow version-switching shim.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONDONTWRITEBYTECODE": "1",
        # Sets, and with them what pytest tells of unequal dictionaries, have an order.
        "PYTHONHASHSEED": "0",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "LC_ALL": "C.UTF-8",
        # A shell of a terminal: the user's login shell is not asked.
        "TERM": "xterm",
        "SHLVL": "1",
    }
    try:
        with own_venv_offered() if has_pytest else nullcontext():
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def offered_tools(*, code: bool) -> tuple[AnyTool, ...]:
    """Return the tools of conversations, in code mode or not, as the product's turns offer them."""
    return turn_tools((), attended=True, code_mode=code)


@dataclass(frozen=True)
class _Others:
    """What is in the parts that were made before."""

    queries: frozenset[str]
    conversations: NearDuplicates


@cache
def _others(files: tuple[Path, ...]) -> _Others:
    queries: set[str] = set()
    conversations = NearDuplicates(NEAR)
    for file in files:
        for example in read_examples(file):
            queries.add(normalised(example.query))
            conversations.add(shingles_of(words_of(example)))
    return _Others(frozenset(queries), conversations)


class _Maker:
    """Makes the examples of one job."""

    def __init__(self, job: Job, folder: Path) -> None:
        self._job = job
        self._mix = job.mix
        self._folder = folder
        self._rng = Random(f"{job.seed} {job.part} {job.number}")
        self._tools = {code: offered_tools(code=code) for code in (False, True)}
        self._prefixes = {code: prompt_prefix(tools).id for code, tools in self._tools.items()}
        self._others = _others(job.apart_from)
        self._shard = Shard()
        self._project = Project({})
        self._project_name = ""

    async def make(self) -> Shard:
        """Make them all."""
        slots = list(self._job.slots)
        self._rng.shuffle(slots)
        for start in range(0, len(slots), EXAMPLES_PER_PROJECT):
            held_out = self._job.part != "train"
            shutil.rmtree(self._folder / ".git", ignore_errors=True)
            self._project = self._mix.project(self._rng, held_out=held_out)
            number = start // EXAMPLES_PER_PROJECT
            self._project_name = f"{self._job.part}-{self._job.seed}-{self._job.number}-{number}"
            workspace = LocalWorkspace([self._folder])
            try:
                for direct, code in slots[start : start + EXAMPLES_PER_PROJECT]:
                    example = await self._one(workspace, direct=direct, code=code)
                    self._shard.examples.append(example)
            finally:
                await workspace.aclose()
        return self._shard

    async def _one(self, workspace: LocalWorkspace, *, direct: bool, code: bool) -> Example:
        for _ in range(_ATTEMPTS):
            example = await self._undisturbed(workspace, direct=direct, code=code)
            if example is not None:
                return example
        most = ", ".join(f"{why} ({n})" for why, n in self._shard.dropped.most_common(3))
        raise TrainingError(
            f"No example was made in {_ATTEMPTS} attempts; give other families a weight. "
            f"Dropped were: {most or 'queries of another part'}."
        )

    async def _undisturbed(
        self, workspace: LocalWorkspace, *, direct: bool, code: bool
    ) -> Example | None:
        """Attempt what does not depend on how fast the machine was.

        An attempt that took long enough for a tool's limit of time is made again in the same way,
        until it takes less or says the same twice.
        """
        rng, dropped = self._rng.getstate(), self._shard.dropped.copy()
        before: tuple[Example | None, Counter[str]] | None = None
        for _ in range(_PLAYS):
            started = time.monotonic()
            example = await self._attempt(workspace, direct=direct, code=code)
            outcome = (example, self._shard.dropped.copy())
            if time.monotonic() - started < _SHORTEST_LIMIT or outcome == before:
                return example
            before = outcome
            self._rng.setstate(rng)
            self._shard.dropped = dropped.copy()
        raise TrainingError(
            f"The machine is too busy: the same conversation took more than {_SHORTEST_LIMIT:g} "
            f"seconds {_PLAYS} times and went another way each time."
        )

    async def _attempt(
        self, workspace: LocalWorkspace, *, direct: bool, code: bool
    ) -> Example | None:
        """Make one example; None if its query is taken or a check failed, which is counted."""
        rng, mix = self._rng, self._mix
        weights = mix.code_weights if code else mix.tool_weights
        if direct:
            weights = mix.direct_weights
        later = weights if direct else mix.all_weights(code=code)
        turns = rng.choices(range(1, len(mix.turns) + 1), mix.turns)[0]
        conversation = Conversation(workspace, self._tools[code], mix.limits)
        past: list[Transcript] = []
        first: Task | None = None
        checked: Checked = ""
        for number in range(turns):
            task = make_task(self._maker(past), later if number else weights)
            if number and task.before:
                break
            prompt = add_context(rng, task.prompt, self._project)
            if not number:
                if normalised(prompt) in self._others.queries:
                    return None
                first = task
                self._project.write(self._folder, task.before)
            deny = rng.random() < mix.denied
            before = task.before if first is None else first.before
            fault, done = await self._play(conversation, task, prompt, deny=deny, before=before)
            if fault or done is None:
                self._shard.dropped[f"{task.kind}: {fault}"] += 1
                return None
            past.append(done)
            if not number:
                checked = task.verified or ("files" if task.wanted is not None else "")
            if not all(call.tool in _LOOKING for call in (*done.calls, *done.inner)):
                break
        assert first is not None
        example = Example(
            messages=tuple(map(self._anywhere, messages_after(conversation.events))),
            prefix=self._prefixes[code],
            task=first.kind,
            project=self._project_name,
            source="generated",
            executed=True,
            checked=checked,
        )
        if any(self._others.conversations.like(shingles_of(words_of(example)))):
            self._shard.dropped[f"{first.kind}: like one of another part"] += 1
            return None
        return example

    def _anywhere(self, message: Message) -> Message:
        """Return a message with a name that is always the same for the folder."""
        text = message.content.replace(str(self._folder), _SHOWN_FOLDER)
        return message.model_copy(update={"content": text})

    def _maker(self, past: Sequence[Transcript]) -> TaskMaker:
        return TaskMaker(
            self._rng,
            Names(self._rng, self._job.part != "train"),
            self._project,
            held_out_words=self._job.held_out_words,
            part=self._job.part,
            past=tuple(past),
        )

    async def _play(
        self, conversation: Conversation, task: Task, prompt: str, *, deny: bool, before: Files
    ) -> tuple[str, Transcript | None]:
        """Let the teacher do a task; return what is wrong with what came of it, and what did."""
        try:
            done = await conversation.follow(task.teacher(), prompt, deny=deny)
        except RolloutError:
            return "the turn did not come to its end", None
        return fault_of(task, done, self._project, self._folder, denied=deny, before=before), done


def fault_of(
    task: Task,
    done: Transcript,
    project: Project,
    folder: Path,
    *,
    denied: bool = False,
    before: Files | None = None,
) -> str:
    """Return why what was done is not what was due, "" if it is.

    `before` is what was different in the project when the conversation began, if that is not what
    the task says.
    """
    results = (*done.results, *done.inner_results)
    stopped = denied and any(DENIED in result for result in results)
    if not stopped and not all(said in done.answer for said in task.says):
        return "the answer lacks what is due"
    if task.wanted is None:
        return ""
    start = task.before if before is None else before
    due = {**project.files, **start, **({} if stopped else task.wanted)}
    if project_files(folder) != {
        path: text.encode() for path, text in due.items() if text is not None
    }:
        return "the files are not as they should be"
    return ""
