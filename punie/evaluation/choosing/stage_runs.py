"""One model's run through one stage, in a process of its own, kept to be taken up again.

When that process ends all memory of its model is free, and if it crashes the other models go on.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

import punie
from punie.evaluation.choosing.candidates import Candidate
from punie.evaluation.choosing.stages import Stage
from punie.evaluation.errors import EvaluationError
from punie.evaluation.intervals import Rate, rate
from punie.evaluation.results import RESULTS, Result, read_results
from punie.evaluation.run_options import RunOptions
from punie.evaluation.run_record import RunRecord, read_run, source_revision
from punie.settings import Settings
from punie.training.hashing import value_hash
from punie.training.progress import Interrupted, Progress, Reporter, Stopped
from punie.training.worker_process import Reply, follow, how_it_ended

_WORKER = "punie.evaluation.choosing.worker"
_FOLDER = "evaluations"
_LAST_WORDS = 4_096


class Order(BaseModel):
    """What a worker is to do; `suites` by name."""

    model: str
    suites: tuple[str, ...]
    options: RunOptions
    folder: Path


@dataclass(frozen=True)
class StageRun:
    """A model's run through a stage, which is complete."""

    folder: Path
    record: RunRecord
    results: tuple[Result, ...]

    @property
    def solved(self) -> Rate:
        """How many of the items were solved, strictly."""
        return rate(sum(each.solved.strict for each in self.results), len(self.results))

    @property
    def seconds(self) -> float:
        """Seconds that half of the items took at most."""
        return 0.0 if self.record.latency is None else self.record.latency.p50


class StageFailed(EvaluationError):  # noqa: N818 - it names a state, as the user reads it
    """A model did not come through a stage, which says nothing about other models."""


def run_stage(
    candidate: Candidate, stage: Stage, settings: Settings, report: Reporter, stopped: Stopped
) -> StageRun:
    """Let a model go through a stage, from where it was left, or return what it did before.

    Raises:
        StageFailed: the model cannot be opened, fails again and again, or took its process along.
        EvaluationError: the disk is full; others would fail as well.
        Interrupted: it was asked to stop; the same call goes on.
    """
    folder = stage_folder(candidate, stage, settings)
    if not folder.exists():
        _work(candidate, stage, folder, report, stopped)
    return StageRun(folder, read_run(folder), tuple(read_results(folder / RESULTS)))


def stage_folder(candidate: Candidate, stage: Stage, settings: Settings) -> Path:
    """Return the folder of a run, another one as soon as anything about it is another."""
    asked = {
        "model": candidate.identity,
        "suites": [[each.name, each.version] for each in stage.suites],
        "options": stage.options.model_dump(mode="json", exclude={"parallel"}),
        "punie": [punie.__version__, source_revision()],
    }
    slug = re.sub(r"[^\w.-]+", "-", candidate.name).strip("-.")[-60:]
    return settings.state_dir / _FOLDER / f"compare-{slug}-{stage.name}-{value_hash(asked)[:8]}"


def _work(
    candidate: Candidate, stage: Stage, folder: Path, report: Reporter, stopped: Stopped
) -> None:
    if stopped():
        raise Interrupted("Stopped; the same command goes on there.")
    order = Order(
        model=candidate.choice.id,
        suites=tuple(each.name for each in stage.suites),
        options=stage.options,
        folder=folder,
    )
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", _WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            start_new_session=True,
        )
        last = follow(process, order, _shown(report), stopped)
        code = process.wait()
        said.seek(max(0, said.seek(0, 2) - _LAST_WORDS))
        words = said.read().decode("utf-8", "replace").split("\n")
    if last is None and stopped():
        # It was asked to stop before it could hear of it.
        raise Interrupted("Stopped; the same command goes on there.")
    if last is None:
        told = next((f": {line.strip()}" for line in reversed(words) if line.strip()), ".")
        raise StageFailed(f"The process that ran it {how_it_ended(code)}{told}")
    match last.ended:
        case "interrupted":
            raise Interrupted(last.sentence)
        case "failed" if last.disk_full:
            raise EvaluationError(last.sentence)
        case "failed":
            raise StageFailed(last.sentence)
        case _:
            return


def _shown(report: Reporter) -> Callable[[Reply], None]:
    def take(reply: Reply) -> None:
        if reply.progress is not None:
            report(Progress(**reply.progress))

    return take
