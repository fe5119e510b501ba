"""A teacher for a run of training: which model, how much it counts, what it says to the data."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from punie.models.architecture import context_window
from punie.models.catalog import read_json_object
from punie.models.mlx.chat_format import ChatFormat
from punie.models.mlx.library import load_model
from punie.training.data.dataset import Dataset
from punie.training.distilling.lessons import Lesson, lessons
from punie.training.distilling.shared_vocabulary import SharedVocabulary, shared_vocabulary
from punie.training.distilling.targets import (
    Softening,
    TargetSource,
    Teacher,
    keep_targets,
    open_targets,
)
from punie.training.encoding import tell_read
from punie.training.errors import TrainingError
from punie.training.hashing import value_hash
from punie.training.progress import Reporter, Stopped, never, quiet
from punie.training.provenance import model_hash

SCRATCH = "targets"
"""Where a run keeps, until it is done, what a teacher says to data that it reads more than once."""


class Teaching(Softening):
    """How much a teacher's logits count, and in which form.

    The loss of a learned token is `(1 - weight) * cross-entropy + weight * T² * divergence`, the
    divergence of student from teacher; the cross-entropy alone where the teacher has no word.
    """

    weight: float = Field(0.5, ge=0, le=1)


@dataclass(frozen=True)
class Taught:
    """What a teacher says to the sequences of a run, by their numbers, and how much it counts."""

    teaching: Teaching
    source: TargetSource


@dataclass(frozen=True)
class TaughtBy:
    """The teacher of a run.

    Attributes:
        teacher: its model folder.
        teaching: how much it counts.
        targets: a folder for what it says, which further runs on the same data read.
        logits: whether its logits are learned; without them it only counts as who wrote the data.
        draft: whether the student is to draft for it, and so reads what it reads.
    """

    teacher: Path
    teaching: Teaching
    targets: Path | None = None
    logits: bool = True
    draft: bool = False

    def vocabulary(self, student: Path) -> SharedVocabulary:
        """Return what teacher and student share.

        Raises:
            TrainingError: they cut text in different ways.
        """
        shared = shared_vocabulary(self.teacher, student)
        if shared is None:
            raise TrainingError(
                f"The teacher in {self.teacher} has other tokens than the student, so its logits "
                "say nothing to it; let the student learn from what the teacher writes instead "
                "(`punie dataset from-teacher`)."
            )
        return shared

    def source(
        self,
        found: Sequence[Lesson],
        shared: SharedVocabulary,
        report: Reporter = quiet,
        stopped: Stopped = never,
        *,
        scratch: Path | None = None,
    ) -> TargetSource:
        """Return what gives the targets of lessons, after asking for all if they are to be kept.

        Without a folder for `targets` they are kept in `scratch`; without that they are not kept,
        and the teacher is asked at every step.

        Raises:
            TrainingError: the teacher cannot be loaded, or the targets' folder is of another one.
            Interrupted: `stopped()`.
        """
        folder = self.targets or scratch
        key = "" if folder is None else self._key(found, shared)
        if folder is not None and folder.exists():
            return open_targets(folder, key, found)
        try:
            model, _ = load_model(self.teacher)
        except Exception as error:
            raise TrainingError(
                f"The teacher in {self.teacher} cannot be loaded ({error}); choose another one."
            ) from error
        teacher = Teacher(model, shared, self.teaching, found)
        return teacher if folder is None else keep_targets(teacher, folder, key, report, stopped)

    def _key(self, found: Sequence[Lesson], shared: SharedVocabulary) -> str:
        """Return a hash of all that decides what the teacher says."""
        return value_hash(
            {
                "teacher": model_hash(self.teacher),
                "softening": [self.teaching.temperature, self.teaching.top],
                "vocabulary": [shared.width, list(shared.others)],
                "lessons": [
                    [lesson.sequence.ids, [[q.ids, q.places] for q in lesson.questions]]
                    for lesson in found
                ],
            }
        )


def read_lessons(
    student: ChatFormat,
    teacher: Path,
    data: Dataset,
    part: str,
    longest: int,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> list[Lesson]:
    """Return what a student learns from a part of a dataset.

    What is longer than `longest` tokens is left out and counted in the progress; where it is longer
    than the teacher reads, the teacher is not asked.

    Raises:
        Interrupted: `stopped()`.
        TrainingError: the data or a chat template cannot be used.
        ModelUnavailable: the teacher's files cannot be read.
    """
    teacher_format = ChatFormat.load(teacher)
    window = context_window(read_json_object(teacher / "config.json"))
    data.check_part(part)
    total = data.manifest.parts[part].examples
    found: list[Lesson] = []
    left_out = 0
    for number, example in enumerate(data.examples(part), 1):
        for lesson in lessons(student, teacher_format, example, data.prefix(example)):
            if len(lesson.sequence.ids) > longest:
                left_out += 1
                continue
            if not lesson.learned:
                continue
            asked = tuple(q for q in lesson.questions if len(q.ids) <= window)
            found.append(Lesson(lesson.sequence, asked))
        if number % 200 == 0 or number == total:
            tell_read(part, number, total, left_out, report, stopped)
    return found
