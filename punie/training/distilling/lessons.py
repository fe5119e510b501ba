"""What a student learns, beside what its teacher reads to say how it would go on.

Each model reads a conversation as it is served to it: rendered by its own template. The teacher's
logits belong to a turn of the student only if both write the turn with the same tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from punie.models.mlx.chat_format import ChatFormat
from punie.training.data.example import Example, PromptPrefix
from punie.training.data.sequences import TrainingSequence, training_sequences


@dataclass(frozen=True)
class Question:
    """What the teacher reads, and which of the student's learned tokens that answers.

    Attributes:
        ids: the teacher's tokens.
        places: positions in `ids`; the logits there speak of the token after.
        rows: for each of `places`, the number of the learned token in the student's sequence.
    """

    ids: list[int]
    places: list[int]
    rows: list[int]


@dataclass(frozen=True)
class Lesson:
    """A sequence of the student, and what to ask the teacher for it."""

    sequence: TrainingSequence
    questions: tuple[Question, ...]

    @property
    def learned(self) -> int:
        """How many tokens of the sequence are learned; the first has none before it."""
        return sum(self.sequence.learned[1:])

    @property
    def answered(self) -> int:
        """For how many of them the teacher has a word."""
        return sum(len(question.rows) for question in self.questions)


def lessons(
    student: ChatFormat, teacher: ChatFormat, example: Example, prefix: PromptPrefix
) -> list[Lesson]:
    """Return what the student learns from an example, and what its teacher is asked for that.

    Raises:
        TrainingError: a template does not let what it prompts with stand in what it renders.
    """
    sequences = training_sequences(student, example, prefix)
    read = sequences if teacher is student else training_sequences(teacher, example, prefix)
    # Both have one run of learned tokens for each turn of the assistant, in order.
    known = [(source, run) for source in read for run in runs(source)]
    found: list[Lesson] = []
    taken = 0
    for sequence in sequences:
        questions: dict[int, Question] = {}
        row = 0
        for start, end in runs(sequence):
            if taken < len(known):
                source, (first, last) = known[taken]
                if source.ids[first:last] == sequence.ids[start:end]:
                    # Equal lists are one: there may be millions of ids.
                    ids = sequence.ids if source.ids == sequence.ids else source.ids
                    question = questions.setdefault(id(source), Question(ids, [], []))
                    question.places.extend(range(first - 1, last - 1))
                    question.rows.extend(range(row, row + end - start))
            taken += 1
            row += end - start
        found.append(Lesson(sequence, tuple(questions.values())))
    return found


def runs(sequence: TrainingSequence) -> list[tuple[int, int]]:
    """Return where learned tokens stand side by side: (start, end) for each turn to learn."""
    marks = np.zeros(len(sequence.ids) + 1, np.int8)
    marks[1:-1] = sequence.learned[1:]
    turns = np.flatnonzero(np.diff(marks)) + 1
    return [(int(start), int(end)) for start, end in zip(turns[::2], turns[1::2], strict=True)]


def answered_share(found: Sequence[Lesson]) -> float:
    """Return the share of learned tokens for which the teacher has a word, 0 to 1."""
    learned = sum(lesson.learned for lesson in found)
    return sum(lesson.answered for lesson in found) / learned if learned else 0.0
