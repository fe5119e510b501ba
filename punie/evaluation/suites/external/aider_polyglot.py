"""Aider's polyglot benchmark, from a checkout of it.

It is a copy of 225 of the harder exercises of six of Exercism's tracks, one folder a language.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from punie.evaluation.errors import EvaluationError
from punie.evaluation.suite import Item
from punie.evaluation.suites.external.exercises import (
    PRACTICE,
    content_of,
    track_exercises,
)
from punie.evaluation.suites.external.languages import LANGUAGES, NOT_RUN, not_run
from punie.evaluation.suites.external.not_done import item_not_done
from punie.evaluation.suites.external.two_tries import exercise_item
from punie.evaluation.suites.external.versions import checkout_version

_RULES = 2


@dataclass(frozen=True)
class AiderPolyglot:
    """The exercises of all languages, named `LANGUAGE/EXERCISE` and counted by language."""

    checkout: Path
    name: str = "aider-polyglot"
    about: str = "Aider's polyglot exercises in up to six languages, each graded by its own tests."

    @cached_property
    def left_out(self) -> str:
        """Languages that are there and never run here, with the reason; their items say so too."""
        found = [language for language in self._tracks if language in NOT_RUN]
        return " ".join(map(not_run, found))

    @cached_property
    def version(self) -> int:
        """The rules and the exercises as they are in the checkout."""
        found = (
            (name, self._folders[name], LANGUAGES.get(_language(name))) for name in self.names()
        )
        return checkout_version(_RULES, content_of(found))

    def names(self) -> Sequence[str]:
        """Return the names of all exercises, language by language."""
        return tuple(self._folders)

    async def item(self, name: str, folder: Path) -> Item:
        """Return an exercise; raise `EvaluationError` if no exercise can be graded here."""
        found = self._folders.get(name)
        if found is None:
            raise EvaluationError(f"{self.checkout} has no exercise {name!r}.")
        language = _language(name)
        if language in NOT_RUN:
            return item_not_done(name, language, not_run(language))
        return await exercise_item(name, found, LANGUAGES[language], language, self.checkout)

    @cached_property
    def _tracks(self) -> list[str]:
        return [
            language
            for language in sorted({*LANGUAGES, *NOT_RUN})
            if (self.checkout / language / PRACTICE).is_dir()
        ]

    @cached_property
    def _folders(self) -> dict[str, Path]:
        if not self._tracks:
            raise EvaluationError(
                f"{self.checkout} is not a checkout for the suite {self.name}: "
                f"it has no folder such as python/{PRACTICE}."
            )
        return {
            f"{language}/{folder.name}": folder
            for language in self._tracks
            for folder in track_exercises(self.checkout / language, self.name)
        }


def _language(name: str) -> str:
    return name.partition("/")[0]
