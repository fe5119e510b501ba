"""What a quantisation did: sizes as they are in the files, and how far the answers moved."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from punie.evaluation.intervals import Rate, paired, rate
from punie.models.catalog import read_json_object
from punie.models.memory import gigabytes
from punie.models.weights import read_weights
from punie.training.comparing import Comparison
from punie.training.quantizing.estimate import parameters_of

FILE_NAME = "conversion.json"


class Size(BaseModel):
    """What a model's weights take.

    Attributes:
        bytes: of all tensors in the files.
        bits_per_weight: bits for each number of the model, scales and offsets included.
    """

    model_config = ConfigDict(frozen=True)

    bytes: int
    bits_per_weight: float


class TaskComparison(BaseModel):
    """How many of the same held-out tasks were solved before and after.

    Attributes:
        tasks: how many there were.
        before: solved by the model before.
        after: solved by the model after.
        gained: solved only after.
        lost: solved only before.
        p: how likely so uneven a split of gained and lost is if nothing changed.
    """

    model_config = ConfigDict(frozen=True)

    tasks: int
    before: int
    after: int
    gained: int
    lost: int
    p: float


class ConversionReport(BaseModel):
    """What `conversion.json` holds.

    Attributes:
        before: size of the model that was converted.
        after: size of what came out.
        left_out: layers that could not be packed, as their width is no multiple of the group size.
        comparison: how far the answers moved; None without a dataset.
        solved: held-out tasks solved with the agent; None if none were asked for.
    """

    model_config = ConfigDict(frozen=True)

    before: Size
    after: Size
    left_out: tuple[str, ...] = ()
    comparison: Comparison | None = None
    solved: TaskComparison | None = None

    def rows(self) -> list[tuple[str, str, str]]:
        """Return the report as rows of a table: what, before, after."""
        rows = [
            ("weights", gigabytes(self.before.bytes), gigabytes(self.after.bytes)),
            (
                "bits per weight",
                f"{self.before.bits_per_weight:.3f}",
                f"{self.after.bits_per_weight:.3f}",
            ),
        ]
        if (found := self.comparison) is not None:
            rows += [
                ("perplexity", f"{found.perplexity_before:.4f}", f"{found.perplexity_after:.4f}"),
                ("same next token", "", f"{found.agreement:.2%}"),
                ("divergence (nats)", "", f"{found.divergence:.2g}"),
            ]
        if (tasks := self.solved) is not None:
            before, after = (rate(hits, tasks.tasks) for hits in (tasks.before, tasks.after))
            rows += [
                ("tasks solved", f"{before.value:.1%}", f"{after.value:.1%}"),
                ("  95% interval", _interval(before), _interval(after)),
                ("  gained, lost", "", f"{tasks.gained}, {tasks.lost} (p = {tasks.p:.2g})"),
            ]
        return rows


def compare_solved(before: Sequence[bool], after: Sequence[bool]) -> TaskComparison:
    """Compare which of the same tasks were solved."""
    changed = paired(before, after)
    return TaskComparison(
        tasks=len(before),
        before=sum(before),
        after=sum(after),
        gained=changed.gained,
        lost=changed.lost,
        p=changed.p,
    )


def measured_size(folder: Path) -> Size:
    """Measure a model's weights from the headers of its files.

    Raises:
        ModelUnavailable: its files are not whole.
        TrainingError: the installed mlx-lm does not know the model.
    """
    size = read_weights(folder).nbytes
    parameters = parameters_of(read_json_object(folder / "config.json"))
    return Size(bytes=size, bits_per_weight=size * 8 / parameters)


def read_report(folder: Path) -> ConversionReport | None:
    """Return the report beside a model that Punie quantised; None where there is none.

    Raises `ValueError` if it cannot be read.
    """
    file = folder / FILE_NAME
    if not file.is_file():
        return None
    return ConversionReport.model_validate_json(file.read_text(encoding="utf-8"))


def _interval(of: Rate) -> str:
    return f"{of.low:.1%} to {of.high:.1%}"
