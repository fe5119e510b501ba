"""What a pipeline knows of a kind of step: its options, inputs, output, needs and figures.

Each kind has a module in `punie.training.pipeline.steps` with a `STEP`. Such a module is light; it
imports the room that does the work inside its functions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from punie.evaluation.intervals import Rate
from punie.training.gates.report import GateReport
from punie.training.output import output_folder
from punie.training.progress import Reporter, Stopped

Artifact = Literal["dataset", "model", "adapter", "report"]
"""What steps hand on: a dataset's folder, a model's, an adapter's, a folder with a report."""


class Figure(BaseModel):
    """A result: a number, the ends of its 95 % interval where it has one, and its unit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    low: float | None = None
    high: float | None = None
    unit: str = ""

    def __str__(self) -> str:
        if self.unit == "share":
            interval = "" if self.low is None else f" ({self.low:.1%} to {self.high:.1%})"
            return f"{self.value:.1%}{interval}"
        interval = "" if self.low is None else f" ({self.low:.4g} to {self.high:.4g})"
        whole = float(self.value).is_integer() and abs(self.value) < 1e15
        number = f"{int(self.value):,}" if whole else f"{self.value:.4g}"
        return f"{number}{interval} {self.unit}".rstrip()


def share(measured: Rate) -> Figure:
    """Return a rate as a figure."""
    return Figure(value=measured.value, low=measured.low, high=measured.high, unit="share")


@dataclass(frozen=True)
class Role:
    """One input of a step.

    Attributes:
        artifact: what it must be.
        required: whether the step cannot do without it.
        many: whether there may be several, as a list.
        of_recipe: whether it is the recipe's own model if the step names none.
        served: whether `openai:NAME`, a model on a server, will do as well.
        weights: whether a model's weights are read, not just its config, tokenizer and template.
    """

    artifact: Artifact
    required: bool = True
    many: bool = False
    of_recipe: bool = False
    served: bool = False
    weights: bool = True


@dataclass(frozen=True)
class Need:
    """What a step takes, as far as it can be told before it runs; sizes in bytes.

    Attributes:
        memory: at its peak.
        disk: of its output, and of what it keeps meanwhile.
        notes: what else is known, a sentence each.
        refused: why it cannot work at all, in a sentence.
    """

    memory: int | None = None
    disk: int | None = None
    notes: tuple[str, ...] = ()
    refused: str | None = None


@dataclass(frozen=True)
class Given:
    """What is known of a step's inputs before it runs, by role.

    Attributes:
        paths: where an input lies that is there.
        configs: the config.json of a model, also of one that is still to be made.
        longest: tokens of the longest example of a dataset that is there.
    """

    paths: Mapping[str, Path]
    configs: Mapping[str, dict[str, Any]]
    longest: int | None = None


@dataclass(frozen=True)
class Call:
    """One step as it is run: validated options, inputs by role, and where the output belongs."""

    options: Any
    inputs: Mapping[str, tuple[str, ...]]
    out: Path
    report: Reporter
    stopped: Stopped
    store: Path = field(default=Path())

    def path(self, role: str) -> Path:
        """Return the one input of a role."""
        (only,) = self.inputs[role]
        return Path(only)

    def maybe(self, role: str) -> Path | None:
        """Return the input of a role, if there is one."""
        return Path(self.inputs[role][0]) if self.inputs.get(role) else None

    def paths(self, role: str) -> list[Path]:
        """Return all inputs of a role."""
        return [Path(each) for each in self.inputs.get(role, ())]


class Step:
    """A kind of step. `version` goes up when the same options no longer make the same output.

    Attributes:
        kind: its name in recipes.
        roles: its inputs.
        neutral: options that cannot change the output, such as a number of workers.
        computes: whether it runs MLX, so that its process is prepared for that.
        alone: whether it wants all cores: of such steps a machine runs one at a time.
        exact: whether its process computes so that equal inputs give equal bits.
        threads: of each matrix product; None for one on each core. What writes token by token has
            small products, which gain nothing from more than one and wait for each other.
        unit: what `work` counts, if it counts anything.
        seeded: whether the recipe's seed is its own if it is given none.
        renamed: the options that have another name in recipes, by that name.
    """

    kind: ClassVar[str]
    version: ClassVar[int] = 1
    roles: ClassVar[Mapping[str, Role]] = {}
    neutral: ClassVar[frozenset[str]] = frozenset()
    computes: ClassVar[bool] = False
    alone: ClassVar[bool] = False
    exact: ClassVar[bool] = False
    threads: ClassVar[int | None] = None
    unit: ClassVar[str] = ""
    seeded: ClassVar[bool] = True
    renamed: ClassVar[Mapping[str, str]] = {}

    def options_type(self) -> type[BaseModel]:
        """Return the model of the options."""
        raise NotImplementedError

    def makes(self, options: Any) -> Artifact:
        """Return what comes out."""
        raise NotImplementedError

    def run(self, call: Call) -> None:
        """Do the work: write `call.out`, whole or not at all."""
        raise NotImplementedError

    def figures(self, out: Path) -> dict[str, Figure]:
        """Return what is worth knowing of an output that is there."""
        return {}

    def surroundings(self, options: Any) -> str | None:
        """Return a hash of what it reads besides its inputs, None if there is nothing."""
        return None

    def work(self, options: Any) -> float | None:
        """Return how much there is to do, in `unit`, by which the time is expected."""
        return None

    def need(self, options: Any, given: "Given") -> Need:
        """Return what it takes, as far as that can be told."""
        return Need()

    def config(self, options: Any, given: "Given") -> dict[str, Any] | None:
        """Return the config.json that a model will have, None where that is not known."""
        return None


class DatasetStep(Step):
    """A step that writes a dataset."""

    def makes(self, options: Any) -> Artifact:
        """Return what comes out."""
        return "dataset"

    def figures(self, out: Path) -> dict[str, Figure]:
        """Return how many examples there are, by part."""
        from punie.training.data.dataset import open_dataset

        parts = open_dataset(out).manifest.parts
        return {name: Figure(value=part.examples, unit="examples") for name, part in parts.items()}


REPORT = "report.json"
"""The file of a step that only reports."""


def write_report(out: Path, report: GateReport) -> None:
    """Write what a gate found into its output folder; raise `TrainingError` if that fails."""
    with output_folder(out) as folder:
        text = report.model_dump_json(indent=2) + "\n"
        (folder / REPORT).write_text(text, encoding="utf-8")


class GateStep(Step):
    """A step that looks at what another one made; its output is a report that passed or not.

    Attributes:
        judges: the role whose folder keeps the verdict, if it is of the store.
    """

    judges: ClassVar[str | None] = None

    def figures(self, out: Path) -> dict[str, Figure]:
        """Return what was measured, by check."""
        text = (out / REPORT).read_text(encoding="utf-8")
        checks = GateReport.model_validate_json(text).checks
        return {
            check.name: Figure(value=check.measured)
            for check in checks
            if check.measured is not None
        }

    def makes(self, options: Any) -> Artifact:
        """Return what comes out."""
        return "report"
