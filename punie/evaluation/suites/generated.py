"""The generator's held-out tasks as suites: names and projects that training never shows.

A teacher of the generator does each task first, in an equal project; what it did is the measure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from punie.evaluation.errors import EvaluationError
from punie.evaluation.held_out import TaskOptions, done_by_teacher, held_out_task, task_item
from punie.evaluation.suite import Item
from punie.training.errors import TrainingError
from punie.training.hashing import value_hash

_SEED = 90_210
_VERSION = 2
_OF_THE_RUN = {"attempts", "temperature", "guided", "parallel", "draft_model"}


@dataclass(frozen=True)
class GeneratedSuite:
    """Tasks of the generator; `parts` are in known wording or in wording that is never trained.

    An item is named after the wording and its number, such as `known/0007`.
    """

    name: str
    version: int
    about: str
    parts: tuple[TaskOptions, ...]
    left_out: str = ""

    def names(self) -> Sequence[str]:
        """Return the names of all tasks, in order.

        Raises:
            EvaluationError: there are no such tasks.
        """
        for part in self.parts:
            try:
                held_out_task(0, part)
            except TrainingError as error:
                raise EvaluationError(str(error)) from error
        return [
            f"{part.wording}/{number:04}" for part in self.parts for number in range(part.count)
        ]

    async def item(self, name: str, folder: Path) -> Item:
        """Return a task, done by its teacher in `folder`.

        Raises:
            EvaluationError: there is no such task, or its teachers do not do what is due.
        """
        wording, _, number = name.partition("/")
        part = next((each for each in self.parts if each.wording == wording), None)
        if part is None or not number.isdecimal():
            raise EvaluationError(f"The suite {self.name} has no item {name!r}.")
        try:
            task, due = await done_by_teacher(int(number), part, folder)
        except TrainingError as error:
            raise EvaluationError(str(error)) from error
        return task_item(name, task.project, task.task, task.prompt, due, part.mix, part.needs)


def tasks_suite(options: TaskOptions) -> GeneratedSuite:
    """Return any tasks as a suite, whose version is made of what decides them."""
    asked = [_VERSION, options.model_dump(mode="json", exclude=_OF_THE_RUN)]
    about = f"Tasks of the preset {options.preset} that the generator makes of a seed."
    return GeneratedSuite("generated", int(value_hash(asked)[:8], 16), about, (options,))


GENERATED_TINY = GeneratedSuite(
    "generated-tiny",
    _VERSION,
    "Tasks like those that the bundled model learned from, in projects and with names that it "
    "never saw.",
    (
        TaskOptions(count=500, seed=_SEED),
        TaskOptions(count=250, seed=_SEED, wording="unseen"),
    ),
)
GENERATED_CODER = GeneratedSuite(
    "generated-coder",
    _VERSION,
    "Tasks of every kind that the generator knows, on packages with tests and a git history.",
    (
        TaskOptions(count=200, seed=_SEED, preset="coder"),
        TaskOptions(count=100, seed=_SEED, preset="coder", wording="unseen"),
    ),
)
