"""Where the effect of an adapter dies when a model gets fewer bits.

An adapter is trained several times, from other seeds. Each is fused in full precision and then
quantised, and fused straight into quantised weights; both with each number of bits. What is asked:
how much of what the adapter changed is left, against the base with the same number of bits?
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from punie.evaluation.intervals import Mean, Paired, Rate, mean, paired, rate
from punie.evaluation.tasks import TaskOptions
from punie.training.data.dataset import open_dataset
from punie.training.errors import TrainingError
from punie.training.fusing import FuseOptions, fuse, read_adapter
from punie.training.measuring import measure
from punie.training.model_folder import resumable_folder
from punie.training.output import write_text
from punie.training.progress import Interrupted, Progress, Reporter, Stopped, never, quiet
from punie.training.provenance import model_hash
from punie.training.quantizing.options import Bits, QuantizeOptions
from punie.training.quantizing.report import measured_size
from punie.training.quantizing.run import quantize
from punie.training.quantizing.solving import solved_tasks

FILE_NAME = "study.json"

Way = Literal["base", "fused", "quantized base", "fused, then quantized", "fused into quantized"]
"""What became of the base: the first two in full precision."""


class StudyOptions(BaseModel):
    """The grid, and how each model in it is measured.

    Attributes:
        bits: the numbers of bits.
        group_size: weights that share a scale.
        part: part of the dataset that is measured; it should show what the adapter taught.
        examples: how many examples of it; all if left out.
        tasks: the held-out tasks that each model solves besides, with the agent; None for none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bits: tuple[Bits, ...] = Field(default=(2, 3, 4, 5, 6, 8), min_length=1)
    group_size: Literal[32, 64, 128] = 64
    part: str = "test"
    examples: int | None = Field(default=None, ge=1)
    tasks: TaskOptions | None = None


class Cell(BaseModel):
    """One model of the grid as measured.

    Attributes:
        way: what became of the base.
        bits: bits per weight; None in full precision.
        seed: which adapter; None without one.
        bits_per_weight: measured from the files.
        loss: mean negative log likelihood of a token that the assistant writes, in nats.
        exact: for each turn of the dataset's part, whether greedy decoding writes just it.
        solved: for each task, whether it was solved.
    """

    model_config = ConfigDict(frozen=True)

    way: Way
    bits: int | None
    seed: int | None
    bits_per_weight: float
    loss: float
    exact: tuple[bool, ...]
    solved: tuple[bool, ...] = ()

    @property
    def share(self) -> float:
        """Share of turns that are exactly right."""
        return sum(self.exact) / max(1, len(self.exact))


@dataclass(frozen=True)
class Row:
    """All seeds of one way and one number of bits together.

    Attributes:
        way: what became of the base.
        bits: bits per weight; None in full precision.
        bits_per_weight: measured from the files.
        loss: over the seeds.
        exact: turns that are exactly right, of all seeds.
        solved: tasks solved, of all seeds; None if none were asked for.
        kept: share of the adapter's effect that is left, over the seeds: what is exactly right
            beyond the base with the same bits, of what it was beyond the base in full precision.
            None without an adapter, or if the adapter changed nothing.
        against_full: the turns compared with those of the fused model in full precision.
    """

    way: Way
    bits: int | None
    bits_per_weight: float
    loss: Mean
    exact: Rate
    solved: Rate | None
    kept: Mean | None
    against_full: Paired | None


class QuantizationStudy(BaseModel):
    """What `study.json` holds: options, hashes of what was studied, and all cells."""

    model_config = ConfigDict(frozen=True)

    options: StudyOptions
    base: str
    dataset: str
    adapters: dict[int, str]
    cells: tuple[Cell, ...]

    def cell(self, way: Way, bits: int | None, seed: int | None) -> Cell:
        """Return one cell; raises `KeyError` if there is none."""
        for cell in self.cells:
            if (cell.way, cell.bits, cell.seed) == (way, bits, seed):
                return cell
        raise KeyError((way, bits, seed))

    def rows(self) -> list[Row]:
        """Return the table: a row for each way and number of bits, seeds together."""
        keys = dict.fromkeys((cell.way, cell.bits) for cell in self.cells)
        return [self._row(way, bits) for way, bits in keys]

    def _row(self, way: Way, bits: int | None) -> Row:
        cells = [cell for cell in self.cells if (cell.way, cell.bits) == (way, bits)]
        exact = [hit for cell in cells for hit in cell.exact]
        solved = [hit for cell in cells for hit in cell.solved]
        kept = [share for cell in cells if (share := self._kept(cell)) is not None]
        full = [
            hit
            for cell in cells
            if cell.seed is not None
            for hit in self.cell("fused", None, cell.seed).exact
        ]
        return Row(
            way=way,
            bits=bits,
            bits_per_weight=cells[0].bits_per_weight,
            loss=mean([cell.loss for cell in cells]),
            exact=rate(sum(exact), len(exact)),
            solved=rate(sum(solved), len(solved)) if solved else None,
            kept=mean(kept) if kept else None,
            against_full=paired(full, exact) if full else None,
        )

    def _kept(self, cell: Cell) -> float | None:
        if cell.seed is None:
            return None
        taught = self.cell("fused", None, cell.seed).share - self.cell("base", None, None).share
        plain = self.cell("base" if cell.bits is None else "quantized base", cell.bits, None)
        return None if taught == 0 else (cell.share - plain.share) / taught


def study_quantization(
    options: StudyOptions,
    base: Path,
    adapters: Mapping[int, Path],
    dataset: Path,
    out: Path,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> QuantizationStudy:
    """Measure the whole grid and write it to `study.json` in the folder `out`.

    `adapters` are of the same training from other seeds, by seed. A cell that was measured is kept,
    so the same call goes on where it was interrupted; the models between are removed.

    Raises:
        Interrupted: it was asked to stop.
        TrainingError: the inputs do not belong together, or cannot be measured.
    """
    if not adapters:
        raise TrainingError("There is no adapter to study; name one at least.")
    opened = open_dataset(dataset)
    if options.part not in opened.manifest.parts:
        known = ", ".join(sorted(opened.manifest.parts))
        raise TrainingError(f"{dataset} has no part {options.part!r}; it has {known}.")
    found = {seed: read_adapter(folder) for seed, folder in adapters.items()}
    study = QuantizationStudy(
        options=options,
        base=model_hash(base),
        dataset=opened.hash,
        adapters={seed: adapter.hash for seed, adapter in found.items()},
        cells=(),
    )
    made_from = {"made_by": "study", **study.model_dump(mode="json", exclude={"cells"})}
    with resumable_folder(out, made_from) as folder:
        grid = _Grid(options, base, adapters, dataset, folder, stopped)
        cells = []
        places = list(grid.places())
        for done, (way, bits, seed) in enumerate(places):
            report(Progress("studying", done, len(places), "models", _named(way, bits, seed)))
            if stopped():
                raise Interrupted(
                    f"Stopped after {done} of {len(places)} models; the same command goes on there."
                )
            cells.append(grid.cell(way, bits, seed))
        report(Progress("studying", len(places), len(places), "models"))
        grid.clear()
        study = study.model_copy(update={"cells": tuple(cells)})
        (folder / FILE_NAME).write_text(study.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return study


def _named(way: Way, bits: int | None, seed: int | None) -> dict[str, str | int]:
    told: dict[str, str | int | None] = {"way": way, "bits": bits, "seed": seed}
    return {name: value for name, value in told.items() if value is not None}


@dataclass(frozen=True)
class _Grid:
    """Makes and measures the models of a study in its folder."""

    options: StudyOptions
    base: Path
    adapters: Mapping[int, Path]
    dataset: Path
    folder: Path
    stopped: Stopped

    def places(self) -> Iterator[tuple[Way, int | None, int | None]]:
        """Yield the cells in an order in which few models are there at a time."""
        yield "base", None, None
        for seed in self.adapters:
            yield "fused", None, seed
        for bits in self.options.bits:
            yield "quantized base", bits, None
            for seed in self.adapters:
                yield "fused, then quantized", bits, seed
                yield "fused into quantized", bits, seed

    def cell(self, way: Way, bits: int | None, seed: int | None) -> Cell:
        """Return a cell, measured now or before."""
        name = f"{way} {bits or ''} {seed if seed is not None else ''}".replace(",", "")
        file = self.folder / "cells" / f"{'-'.join(name.split())}.json"
        if file.is_file():
            return Cell.model_validate_json(file.read_text(encoding="utf-8"))
        model = self._model(way, bits, seed)
        measured = measure(
            model,
            None,
            self.dataset,
            self.options.part,
            self.options.examples,
            stopped=self.stopped,
        )
        found = Cell(
            way=way,
            bits=bits,
            seed=seed,
            bits_per_weight=measured_size(model).bits_per_weight,
            loss=measured.loss,
            exact=tuple(turn.exact for turn in measured.turns),
            solved=self._solved(model, name),
        )
        file.parent.mkdir(exist_ok=True)
        write_text(file, found.model_dump_json() + "\n")
        if bits is not None and seed is not None:
            shutil.rmtree(model)
        return found

    def clear(self) -> None:
        """Remove the models and cells, now that all are in the study."""
        for name in ("cells", "models", "tasks"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def _model(self, way: Way, bits: int | None, seed: int | None) -> Path:
        match way:
            case "base":
                return self.base
            case "fused":
                return self._made(f"fused-{seed}", lambda out: self._fuse(self.base, seed, out))
            case "quantized base":
                return self._made(f"base-{bits}", lambda out: self._quantize(self.base, bits, out))
            case "fused, then quantized":
                fused = self._model("fused", None, seed)
                return self._made(
                    f"then-{bits}-{seed}", lambda out: self._quantize(fused, bits, out)
                )
            case "fused into quantized":
                packed = self._model("quantized base", bits, None)
                return self._made(
                    f"into-{bits}-{seed}", lambda out: self._fuse(packed, seed, out, into=True)
                )

    def _made(self, name: str, make: Callable[[Path], object]) -> Path:
        out = self.folder / "models" / name
        if not out.exists():
            make(out)
        return out

    def _fuse(self, model: Path, seed: int | None, out: Path, *, into: bool = False) -> None:
        assert seed is not None
        options = FuseOptions(into_quantized=into)
        fuse(options, model, self.adapters[seed], out, stopped=self.stopped)

    def _quantize(self, model: Path, bits: int | None, out: Path) -> None:
        options = QuantizeOptions.model_validate(
            {"bits": bits, "group_size": self.options.group_size}
        )
        quantize(options, model, None, out, stopped=self.stopped)

    def _solved(self, model: Path, name: str) -> tuple[bool, ...]:
        if self.options.tasks is None:
            return ()
        kept = self.folder / "tasks" / "-".join(name.split())
        return solved_tasks(model, self.options.tasks, kept, stopped=self.stopped)


def table(study: QuantizationStudy) -> list[str]:
    """Return a study as lines of a Markdown table."""
    lines = [
        "| way | bits | bits per weight | exactly right | effect kept | against full precision |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in study.rows():
        lines.append(
            f"| {row.way} | {row.bits or 'all'} | {row.bits_per_weight:.2f} | {row.exact} "
            f"| {_kept(row.kept)} | {row.against_full or ''} |"
        )
    return lines


def _kept(kept: Mean | None) -> str:
    if kept is None:
        return ""
    interval = f" ({kept.low:.0%} to {kept.high:.0%})" if kept.of > 1 else ""
    return f"{kept.value:.0%}{interval}"
