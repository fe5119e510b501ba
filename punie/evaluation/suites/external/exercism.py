"""Exercism's Python track, from a checkout of it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from punie.evaluation.errors import EvaluationError
from punie.evaluation.suite import Item
from punie.evaluation.suites.external.exercises import content_of, track_exercises
from punie.evaluation.suites.external.languages import PYTHON
from punie.evaluation.suites.external.two_tries import exercise_item
from punie.evaluation.suites.external.versions import checkout_version

_RULES = 2
_UNRATED = "unrated"
_GIVEN_UP = 0
"""In place of the difficulty of exercises that the track calls deprecated."""

# Difficulties from 1 to 10 as Exercism groups them.
_HARDEST_EASY, _HARDEST_MEDIUM = 3, 7


@dataclass(frozen=True)
class Exercism:
    """The practice exercises of Exercism's Python track; items are counted by difficulty."""

    checkout: Path
    name: str = "exercism"
    about: str = "Exercism's Python exercises, each graded by its own tests."
    left_out: str = ""

    @cached_property
    def version(self) -> int:
        """The rules and the exercises as they are in the checkout."""
        return checkout_version(
            _RULES, content_of((*each, PYTHON) for each in self._folders.items())
        )

    def names(self) -> Sequence[str]:
        """Return the names of all exercises that are not deprecated, in alphabetical order."""
        return tuple(self._folders)

    async def item(self, name: str, folder: Path) -> Item:
        """Return an exercise; raise `EvaluationError` if no exercise can be graded here."""
        found = self._folders.get(name)
        if found is None:
            raise EvaluationError(f"{self.checkout} has no exercise {name!r}.")
        kind = _group(self._difficulties.get(name))
        return await exercise_item(name, found, PYTHON, kind, self.checkout)

    @cached_property
    def _folders(self) -> dict[str, Path]:
        return {
            folder.name: folder
            for folder in track_exercises(self.checkout, self.name)
            if self._difficulties.get(folder.name) != _GIVEN_UP
        }

    @cached_property
    def _difficulties(self) -> dict[str, int]:
        """The difficulty of each exercise that the track lists."""
        file = self.checkout / "config.json"
        try:
            listed = json.loads(file.read_bytes())["exercises"]["practice"]
            return {
                each["slug"]: _GIVEN_UP
                if each.get("status") == "deprecated"
                else int(each["difficulty"])
                for each in listed
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise EvaluationError(f"{file} is not the list of a track's exercises.") from error


def _group(difficulty: int | None) -> str:
    if difficulty is None:
        return _UNRATED
    if difficulty <= _HARDEST_EASY:
        return "easy"
    return "medium" if difficulty <= _HARDEST_MEDIUM else "hard"
