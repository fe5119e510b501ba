"""Programming exercises in the layout of Exercism's tracks, which Aider's benchmark keeps.

An exercise is a folder with `.meta/config.json`, which lists its files, and `.docs`, which says
what is to be written. The layout is described at
https://exercism.org/docs/building/tracks/practice-exercises.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, ValidationError

from punie.evaluation.errors import EvaluationError
from punie.evaluation.suites.external.languages import Language

CONFIG = ".meta/config.json"
PRACTICE = Path("exercises", "practice")
"""Where a track keeps its exercises; concept exercises are beside them."""

_TEXTS = ("introduction.md", "instructions.md", "instructions.append.md")
# What tells how to solve it, and what builds leave behind.
_NOT_COPIED = frozenset(
    {".meta", ".docs", ".approaches", ".articles", ".git", ".gradle", "__pycache__"}
    | {"build", "node_modules", "target"}
)
_TEST_FOLDERS = frozenset({"test", "tests"})


class _Files(BaseModel):
    model_config = ConfigDict(frozen=True)

    solution: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    editor: tuple[str, ...] = ()
    example: tuple[str, ...] = ()
    exemplar: tuple[str, ...] = ()


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True)

    files: _Files


@dataclass(frozen=True)
class Exercise:
    """An exercise as it stands in a checkout. Paths are relative to its folder.

    Attributes:
        name: what it is called in results.
        folder: where it is.
        language: what it is to be written in.
        instructions: what is to be written, as Markdown.
        solution: the files to write into; some may not be there yet.
        tests: the files with its tests.
        given: what is there at the beginning, by path.
        hidden: the tests, and what stands beside them, by path.
    """

    name: str
    folder: Path
    language: Language
    instructions: str
    solution: tuple[str, ...]
    tests: tuple[str, ...]
    given: Mapping[str, bytes]
    hidden: Mapping[str, bytes]

    @property
    def content(self) -> dict[str, str]:
        """All that decides what it asks and how it is judged, for a hash."""
        files = {**self.given, **self.hidden}
        return {
            "instructions": self.instructions,
            **{path: data.decode("utf-8", "replace") for path, data in sorted(files.items())},
        }


def track_exercises(track: Path, suite: str) -> list[Path]:
    """Return the folders of a track's practice exercises, by name.

    Raises:
        EvaluationError: there are none, so the folder is not what the suite needs.
    """
    practice = track / PRACTICE
    try:
        found = sorted(path for path in practice.iterdir() if (path / CONFIG).is_file())
    except OSError as error:
        raise EvaluationError(
            f"{track} is not a checkout for the suite {suite}: {practice} cannot be read "
            f"({error.strerror})."
        ) from error
    if not found:
        raise EvaluationError(
            f"{track} is not a checkout for the suite {suite}: no exercise is in {practice}."
        )
    return found


def content_of(exercises: Iterable[tuple[str, Path, Language | None]]) -> dict[str, object]:
    """Return what exercises hold, by name, for a hash; of those that cannot be read why not."""
    found: dict[str, object] = {}
    for name, folder, language in exercises:
        try:
            found[name] = read_exercise(name, folder, language).content if language else None
        except EvaluationError as error:
            found[name] = str(error)
    return found


def read_exercise(name: str, folder: Path, language: Language) -> Exercise:
    """Read an exercise.

    Raises:
        EvaluationError: a file is missing or cannot be read, or there is nothing to write or no
            test.
    """
    try:
        return _read(name, folder, language)
    except OSError as error:
        raise EvaluationError(
            f"The exercise {name} cannot be read: {error.filename} ({error.strerror})."
        ) from error
    except UnicodeDecodeError as error:
        raise EvaluationError(f"The exercise {name} cannot be read: it is not UTF-8.") from error


def _read(name: str, folder: Path, language: Language) -> Exercise:
    try:
        listed = _Config.model_validate_json((folder / CONFIG).read_bytes()).files
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise EvaluationError(f"The exercise {name} has a broken {CONFIG} ({reason}).") from error
    for path in (*listed.solution, *listed.test):
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise EvaluationError(f"The exercise {name} lists {path}, which is outside of it.")
    solution = tuple(path for path in listed.solution if path not in language.fixed)
    if not solution:
        raise EvaluationError(f"The exercise {name} lists no file to write the solution into.")
    if not listed.test:
        raise EvaluationError(f"The exercise {name} has no tests.")
    given: dict[str, bytes] = {}
    hidden: dict[str, bytes] = {}
    for path in _files(folder):
        if path in (*listed.example, *listed.exemplar):
            continue
        is_shown = path in (*listed.solution, *listed.editor) or not (
            path in listed.test or _TEST_FOLDERS & set(PurePosixPath(path).parts[:-1])
        )
        (given if is_shown else hidden)[path] = (folder / path).read_bytes()
    for path in listed.test:
        if path not in hidden:
            raise EvaluationError(f"The exercise {name} has no tests: {path} is missing.")
    return Exercise(
        name=name,
        folder=folder,
        language=language,
        instructions=_instructions(name, folder),
        solution=solution,
        tests=listed.test,
        given=given,
        hidden=hidden,
    )


def _files(folder: Path, below: str = "") -> Iterator[str]:
    for path in sorted((folder / below).iterdir()):
        relative = f"{below}{path.name}"
        if path.is_symlink():
            continue  # it could lead anywhere
        if path.is_dir() and path.name not in _NOT_COPIED:
            yield from _files(folder, f"{relative}/")
        elif path.is_file():
            yield relative


def _instructions(name: str, folder: Path) -> str:
    found = [folder / ".docs" / text for text in _TEXTS]
    parts = [file.read_text(encoding="utf-8").strip() for file in found if file.is_file()]
    if not any(parts):
        raise EvaluationError(f"The exercise {name} has no instructions in .docs.")
    return "\n\n".join(part for part in parts if part)
