"""What a teacher says to the learned tokens of lessons: computed as needed, or kept on disk."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import make_prompt_cache
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from punie.training.distilling.lessons import Lesson, Question
from punie.training.distilling.losses import likeliest
from punie.training.distilling.shared_vocabulary import SharedVocabulary
from punie.training.errors import TrainingError
from punie.training.output import output_folder, write_text
from punie.training.progress import Interrupted, Progress, Reporter, Stopped, never, quiet

_TOKENS_AT_ONCE = 2048
"""Positions whose logits are in memory at once: 1.2 GB for a vocabulary of 150,000."""
_LESSONS_AT_ONCE = 32


class Softening(BaseModel):
    """In which form a teacher's distribution is taken over.

    Attributes:
        temperature: what logits are divided by; above 1 unlikely tokens count for more.
        top: tokens of each position that are told apart; the others count as one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = Field(1.0, ge=0.1, le=20)
    top: int = Field(64, ge=1)


@dataclass(frozen=True)
class Targets:
    """What the teacher says to some learned tokens, in order.

    Attributes:
        ids: (N, K) int32 tokens; zeros where it has no word.
        log_probabilities: (N, K) float32, softened; zeros where it has no word.
        known: (N,) whether it has a word.
    """

    ids: NDArray[np.int32]
    log_probabilities: NDArray[np.float32]
    known: NDArray[np.bool_]

    def padded(self, size: int) -> "Targets":
        """Return the same with further positions, to which the teacher says nothing."""
        more = size - len(self.known)
        return Targets(
            np.pad(self.ids, ((0, more), (0, 0))),
            np.pad(self.log_probabilities, ((0, more), (0, 0))),
            np.pad(self.known, (0, more)),
        )


class TargetSource(Protocol):
    """Gives the targets of lessons by their number."""

    def targets(self, numbers: Sequence[int]) -> Targets:
        """Return what the teacher says to all learned tokens of some lessons, in this order."""


@dataclass(frozen=True)
class Teacher:
    """A model in memory that is asked as needed; a `TargetSource`."""

    model: Any
    vocabulary: SharedVocabulary
    softening: Softening
    lessons: Sequence[Lesson]

    @property
    def named(self) -> int:
        """K: how many tokens are told apart."""
        return min(self.softening.top, self.vocabulary.width)

    def targets(self, numbers: Sequence[int]) -> Targets:
        """Return what it says; an equal call returns equal bits."""
        chosen = [self.lessons[number] for number in numbers]
        count = sum(lesson.learned for lesson in chosen)
        ids = np.zeros((count, self.named), np.int32)
        values = np.zeros((count, self.named), np.float32)
        known = np.zeros(count, np.bool_)
        asked: list[tuple[Question, int]] = []
        first = 0
        for lesson in chosen:
            asked += [(question, first) for question in lesson.questions]
            first += lesson.learned
        for group in _groups(asked):
            rows = [start + row for question, start in group for row in question.rows]
            ids[rows], values[rows] = self._ask([question for question, _ in group])
            known[rows] = True
        return Targets(ids, values, known)

    def _ask(self, questions: Sequence[Question]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Read questions side by side; (places of all, K) ids and log probabilities."""
        length = max(len(question.ids) for question in questions)
        tokens = np.zeros((len(questions), length), np.int32)
        # Row and column of every place, question by question.
        row = np.concatenate([[n] * len(q.places) for n, q in enumerate(questions)]).astype(int)
        column = np.concatenate([np.array(q.places, int) for q in questions])
        for number, question in enumerate(questions):
            tokens[number, : len(question.ids)] = question.ids
        ids = np.zeros((len(row), self.named), np.int32)
        values = np.zeros((len(row), self.named), np.float32)
        layers = make_prompt_cache(self.model)
        width = max(1, _TOKENS_AT_ONCE // len(questions))
        # Padding stands behind the text, where a causal model does not see it.
        for start in range(0, int(column.max()) + 1, width):
            chunk = mx.array(tokens[:, start : start + width])
            logits = self.model(chunk, cache=layers)
            here = np.flatnonzero((column >= start) & (column < start + width))
            if len(here):
                flat = row[here] * chunk.shape[1] + column[here] - start
                picked = logits.reshape(-1, logits.shape[-1])[mx.array(flat)]
                found = likeliest(
                    picked[:, : self.vocabulary.width],
                    self.named,
                    self.softening.temperature,
                    self.vocabulary.others,
                )
                mx.eval(found)
                ids[here], values[here] = np.array(found[0]), np.array(found[1])
            else:
                mx.eval([layer.state for layer in layers])
        return ids, values


def _groups(asked: Sequence[tuple[Question, int]]) -> list[list[tuple[Question, int]]]:
    """Put questions of like length together, as many as may be read at once."""
    groups: list[list[tuple[Question, int]]] = []
    for each in sorted(asked, key=lambda pair: len(pair[0].ids)):
        length = len(each[0].ids)
        if groups and (len(groups[-1]) + 1) * length <= _TOKENS_AT_ONCE:
            groups[-1].append(each)
        else:
            groups.append([each])
    return groups


class _About(BaseModel):
    """What `targets.json` says of the files beside it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    rows: int
    named: int


_ABOUT = "targets.json"
_FILES: tuple[tuple[str, Any], ...] = (
    ("ids.bin", np.int32),
    ("log_probabilities.bin", np.float32),
    ("known.bin", np.bool_),
)


class KeptTargets:
    """Targets on disk, which only take memory as they are read; a `TargetSource`."""

    def __init__(self, folder: Path, lessons: Sequence[Lesson]) -> None:
        """Open what `keep_targets` wrote for these lessons."""
        about = _read_about(folder)
        learned = [lesson.learned for lesson in lessons]
        self._starts = np.concatenate([[0], np.cumsum(learned)]).astype(np.int64)
        shapes = ((about.rows, about.named), (about.rows, about.named), (about.rows,))
        self._arrays = [
            np.memmap(folder / name, kind, "r", shape=shape)
            for (name, kind), shape in zip(_FILES, shapes, strict=True)
        ]

    def targets(self, numbers: Sequence[int]) -> Targets:
        """Return what was kept."""
        rows = [np.arange(self._starts[n], self._starts[n + 1]) for n in numbers]
        chosen = np.concatenate(rows)
        ids, values, known = (np.array(array[chosen]) for array in self._arrays)
        return Targets(ids, values, known)


def keep_targets(
    teacher: Teacher,
    folder: Path,
    key: str,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> KeptTargets:
    """Ask the teacher everything once and keep it in `folder`, or open what is there.

    An interrupted call is gone on with by the next. It takes 8 bytes for each of the named tokens
    of each learned token.

    Args:
        teacher: whom to ask, and what.
        folder: where it is kept; there whole or not at all.
        key: hash of all that decides the answers: teacher, data, templates and softening.
        report: told of progress, in sequences.
        stopped: asked now and then.

    Raises:
        TrainingError: `folder` holds the targets of something else, or cannot be written.
        Interrupted: `stopped()`.
    """
    if folder.exists():
        return open_targets(folder, key, teacher.lessons)
    total = len(teacher.lessons)
    about = _About(
        key=key, rows=sum(lesson.learned for lesson in teacher.lessons), named=teacher.named
    )
    with output_folder(folder, keep_unfinished=True) as unfinished, ExitStack() as stack:
        done_file = unfinished / "done"
        done = _begun(unfinished, about, done_file)
        files = [stack.enter_context((unfinished / name).open("ab")) for name, _ in _FILES]
        rows = sum(lesson.learned for lesson in teacher.lessons[:done])
        widths = (4 * about.named, 4 * about.named, 1)
        for file, width in zip(files, widths, strict=True):
            # What was written behind the last mark is written again.
            file.truncate(rows * width)
        while done < total:
            if stopped():
                raise Interrupted(
                    f"Stopped after {done:,} of {total:,} sequences that the teacher reads; "
                    "the same command goes on from there."
                )
            numbers = range(done, min(done + _LESSONS_AT_ONCE, total))
            found = teacher.targets(numbers)
            arrays = (found.ids, found.log_probabilities, found.known)
            for file, values in zip(files, arrays, strict=True):
                file.write(values.tobytes())
                file.flush()
                os.fsync(file.fileno())
            done = numbers.stop
            write_text(done_file, str(done))
            report(Progress("asking the teacher", done, total, "sequences"))
        done_file.unlink(missing_ok=True)
    return KeptTargets(folder, teacher.lessons)


def open_targets(folder: Path, key: str, lessons: Sequence[Lesson]) -> KeptTargets:
    """Open what `keep_targets` wrote with this key.

    Raises:
        TrainingError: it was written with another one, or is something else.
    """
    if _read_about(folder).key != key:
        raise TrainingError(
            f"The targets in {folder} are of another teacher, dataset or temperature; "
            "name another folder or remove that one."
        )
    return KeptTargets(folder, lessons)


def _read_about(folder: Path) -> _About:
    try:
        return _About.model_validate_json((folder / _ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"{folder} is there and holds no teacher's targets; name another folder."
        ) from error


def _begun(folder: Path, about: _About, done_file: Path) -> int:
    """Return how many lessons an interrupted call has done; empty the folder of any other."""
    file = folder / _ABOUT
    text = about.model_dump_json() + "\n"
    if file.is_file() and file.read_text(encoding="utf-8") == text:
        return int(done_file.read_text(encoding="utf-8")) if done_file.is_file() else 0
    for other in folder.iterdir():
        other.unlink()
    write_text(file, text)
    return 0
