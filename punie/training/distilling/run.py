"""Distilling: a student that is there learns from a larger teacher: its logits, its answers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from punie.training.distilling.shared_vocabulary import shared_vocabulary
from punie.training.distilling.teaching import TaughtBy, Teaching
from punie.training.drafting import check_draft
from punie.training.progress import Reporter, Stopped, never, quiet
from punie.training.tuning.options import Kind, TuneOptions
from punie.training.tuning.run import CHECKPOINT_SECONDS, tune

ANSWERS_ALONE = (
    "Teacher and student cut text into other tokens, so its logits say nothing to the student: "
    "only the answers in the dataset are learned."
)


class DistillOptions(TuneOptions):
    """How a student is distilled: as it is tuned, by default all of its weights, and how much the
    teacher's logits count.

    Attributes:
        teaching: weight, temperature, and how many tokens of the teacher are told apart.
        draft: the student is to draft for the teacher: it must have the same tokens, and learns
            what the teacher reads and writes in the teacher's own form.
    """

    kind: Kind = "full"
    layers: int = Field(0, ge=0)
    embeddings: bool = True
    teaching: Teaching = Teaching()
    draft: bool = False

    @model_validator(mode="before")
    @classmethod
    def _embeddings_of_full(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and given.get("kind", "full") != "full":
            return {"embeddings": False, **given}
        return given


def distill(
    options: DistillOptions,
    teacher: Path,
    student: Path,
    dataset: Path,
    out: Path,
    report: Reporter = quiet,
    stopped: Stopped = never,
    *,
    targets: Path | None = None,
    force: bool = False,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> Path:
    """Let a student learn from a teacher and return `out`. The same call goes on after a stop.

    `out` becomes a model's folder, or an adapter's for "lora" and "dora"; see `tune`. Where the two
    models cut text into other tokens (`shares_tokens`) only the dataset's answers are learned.

    Args:
        options: how.
        teacher: the teacher's model folder.
        student: the student's.
        dataset: what is learned; best what the teacher wrote itself.
        out: the new folder.
        report: told of progress.
        stopped: asked after every step.
        targets: a folder for what the teacher says, asked once before the first step; the next run
            on the same data reads it.
        force: train though the estimate says that it cannot fit into memory.
        checkpoint_seconds: time between checkpoints; does not change the result.

    Raises:
        TrainingError: the inputs do not fit each other, or `out` cannot be written.
        ModelUnavailable: a model's files are not whole.
        Interrupted: `stopped()`.
    """
    if options.draft:
        check_draft(teacher, student)
    taught_by = TaughtBy(
        teacher,
        options.teaching,
        targets,
        logits=shares_tokens(teacher, student),
        draft=options.draft,
    )
    return tune(
        options,
        student,
        dataset,
        out,
        report,
        stopped,
        taught_by=taught_by,
        force=force,
        checkpoint_seconds=checkpoint_seconds,
    )


def shares_tokens(teacher: Path, student: Path) -> bool:
    """Tell whether the teacher's logits say something to the student.

    Raises `ModelUnavailable` if the files of one of them cannot be read.
    """
    return shared_vocabulary(teacher, student) is not None
