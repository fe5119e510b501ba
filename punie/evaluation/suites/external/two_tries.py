"""An exercise as an item: a first try, and a second one that is told what the tests say.

So does Aider's benchmark: a first try counts strictly, the second one softly.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from punie.evaluation.errors import EvaluationError
from punie.evaluation.suite import Check, Item, Needs, Say, Verdict, allow_nothing
from punie.evaluation.suites.external.exercises import PRACTICE, Exercise, read_exercise
from punie.evaluation.suites.external.grading import grade, missing_for
from punie.evaluation.suites.external.languages import Language, title_of
from punie.evaluation.suites.external.not_done import item_not_done
from punie.evaluation.work import Work

_NEEDS = Needs(requests=24, tokens=4_096, seconds=900.0)
_ASK = """{instructions}

Write this in {language}, in {files}. Use what the language brings along and no other packages.
Keep the names that are there already: tests use them, which you do not see and which are run when \
you are done."""
_AGAIN = """The tests do not pass. They are right, so correct {files}. They print:

```
{output}
```"""


@dataclass(frozen=True)
class TwoTries:
    """Prepares and judges an exercise; `told` are the projects whose second try has begun."""

    exercise: Exercise
    told: set[Path] = field(default_factory=set)

    def prepare(self, root: Path) -> None:
        """Write what the model finds."""
        self.told.discard(root)
        for path, data in self.exercise.given.items():
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)

    async def more(self, work: Work, root: Path) -> Say | None:
        """Say what the tests print, if they do not pass after the first try."""
        if root in self.told or work.trouble:
            return None
        graded = await grade(self.exercise, root)
        if graded.passed:
            return None
        self.told.add(root)
        return Say(_AGAIN.format(files=_named(self.exercise), output=graded.output))

    async def judge(self, work: Work, root: Path) -> Verdict:
        """Tell whether the tests pass, in which try."""
        graded = await grade(self.exercise, root)
        is_first = root not in self.told
        note = "The tests passed in the second try only."
        if not graded.passed:
            note = _failure(graded.output)
        return Verdict(
            checks={"solved": Check(strict=graded.passed and is_first, soft=graded.passed)},
            due={"tests": list(self.exercise.tests)},
            note="" if graded.passed and is_first else note,
        )


async def exercise_item(
    name: str, folder: Path, language: Language, kind: str, checkout: Path
) -> Item:
    """Return an exercise as an item; one that is broken or lacks a program says so when it is run.

    Commands of the model cannot read the exercises of the checkout, nor its history.

    Raises:
        EvaluationError: no tests at all can be run here.
    """
    try:
        exercise = read_exercise(name, folder, language)
    except EvaluationError as error:
        return item_not_done(name, kind, str(error))
    missing = await missing_for(exercise)
    if missing:
        reason = f"Exercises in {title_of(language.name)} need {missing}."
        return item_not_done(name, kind, reason)
    tries = TwoTries(exercise)
    asked = _ASK.format(
        instructions=exercise.instructions,
        language=title_of(language.name),
        files=_named(exercise),
    )

    return Item(
        name=name,
        kind=kind,
        actions=(Say(asked),),
        prepare=tries.prepare,
        judge=tries.judge,
        more=tries.more,
        # Whatever runs confined may run; nobody is there to allow more.
        mode="auto",
        allows=allow_nothing,
        hidden=_places_of_solutions(checkout),
        needs=_NEEDS,
    )


def _places_of_solutions(checkout: Path) -> tuple[Path, ...]:
    tracks = (checkout, *checkout.iterdir())
    return (checkout / ".git", *(track / PRACTICE.parts[0] for track in tracks if track.is_dir()))


def _named(exercise: Exercise) -> str:
    return ", ".join(exercise.solution)


def _failure(output: str) -> str:
    """Return what the tests say in the end of how many failed, where that can be seen."""
    lines = [line.strip() for line in output.splitlines()] or ["they print nothing"]
    counted = [line for line in lines if re.search(r"\d+ (tests? )?failed|FAILED", line)]
    return f"The tests do not pass: {(counted or lines)[-1][:200]}"
