"""What is kept of a run beside its results: which model, on which machine, how, and how fast.

A run is a folder with `run.json`, which this module reads and writes, and `results.jsonl`.
"""

import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from secrets import token_hex
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

import punie
from punie.evaluation.errors import EvaluationError
from punie.evaluation.results import Result
from punie.evaluation.suite import Suite
from punie.models.architecture import Quantization, quantization_of
from punie.models.catalog import ModelChoice, ModelUnavailable, read_json_object
from punie.models.machine import machine_memory
from punie.models.provenance import read_provenance
from punie.training.errors import TrainingError
from punie.training.output import write_text
from punie.training.provenance import model_hash

RUN = "run.json"
_GIT_SECONDS = 10.0


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class ModelRecord(_Record):
    """Which model it was.

    Attributes:
        reference: as on the command line; runs of one reference are one line of history.
        weights: hash of all that decides what it answers; None where no files are seen, as for a
            model on a server.
        quantisation: such as `4 bits in groups of 64`; "none" for plain weights, None if unknown.
        adapter: hash of the adapter that was made part of it, if any.
        recipe: the pipeline or the step that made it; "" if Punie did not make it.
    """

    reference: str
    weights: str | None = None
    quantisation: str | None = None
    adapter: str | None = None
    recipe: str = ""


class MachineRecord(_Record):
    """Where it ran: `system` such as `Linux x86_64`, the processor's name, cores, RAM in bytes."""

    system: str
    processor: str
    cores: int
    memory: int


class SuiteRecord(_Record):
    """A suite of the run; `items` counts those that were to be done, not all that it has.

    `left_out` is as in `Suite`.
    """

    name: str
    version: int
    items: int
    left_out: str = ""


class Percentiles(_Record):
    """How seconds are spread: half of `of` values are at most `p50`, and so on; by nearest rank."""

    p50: float
    p90: float
    p99: float
    of: int


class RunRecord(_Record):
    """A run as a whole.

    Attributes:
        id: short and unique; begins with the date.
        model: which model.
        machine: where.
        suites: what it was given to do, in order.
        options: seeds, attempts, temperature and so on, as plain data.
        punie: version of the program.
        revision: of its source, with `+` if that was changed since; "" if it is not in git.
        started: when it began, the first time if it was resumed.
        ended: when it was complete; None before.
        seconds: how long it worked, without the pauses before it was resumed.
        latency: seconds of the items.
        first_token: seconds from each request to its first token.
        tokens_per_second: tokens that were written by all sessions together, in `seconds`.
        peak_memory: bytes that the engine held at most; None if it does not tell.
    """

    id: str
    model: ModelRecord
    machine: MachineRecord
    suites: tuple[SuiteRecord, ...]
    options: Mapping[str, Any] = Field(default_factory=dict)
    punie: str
    revision: str = ""
    started: AwareDatetime
    ended: AwareDatetime | None = None
    seconds: float = 0.0
    latency: Percentiles | None = None
    first_token: Percentiles | None = None
    tokens_per_second: float | None = None
    peak_memory: int | None = None


def begun_run(
    choice: ModelChoice, suites: Sequence[tuple[Suite, int]], options: Mapping[str, Any]
) -> RunRecord:
    """Return the record of a run that begins now; each suite comes with its number of items.

    Raises `ModelUnavailable` if the model's files cannot be read.
    """
    now = datetime.now(UTC)
    return RunRecord(
        id=f"{now:%Y%m%d-%H%M}-{token_hex(2)}",
        model=model_record(choice),
        machine=machine_record(),
        suites=tuple(
            SuiteRecord(
                name=suite.name, version=suite.version, items=items, left_out=suite.left_out
            )
            for suite, items in suites
        ),
        options=dict(options),
        punie=punie.__version__,
        revision=source_revision(),
        started=now,
    )


def ended_run(
    record: RunRecord, results: Sequence[Result], seconds: float, peak_memory: int | None
) -> RunRecord:
    """Return the record of a run that is complete now."""
    written = sum(result.tokens for result in results)
    return record.model_copy(
        update={
            "ended": datetime.now(UTC),
            "seconds": seconds,
            "latency": percentiles(result.seconds for result in results),
            "first_token": percentiles(
                each for result in results for each in result.first_token_seconds
            ),
            "tokens_per_second": written / seconds if seconds > 0 else None,
            "peak_memory": peak_memory,
        }
    )


def percentiles(values: Iterable[float]) -> Percentiles | None:
    """Return how values are spread; None without any."""
    ordered = sorted(values)
    if not ordered:
        return None
    p50, p90, p99 = (ordered[ceil(share * len(ordered) / 100) - 1] for share in (50, 90, 99))
    return Percentiles(p50=p50, p90=p90, p99=p99, of=len(ordered))


def model_record(choice: ModelChoice) -> ModelRecord:
    """Look at a model's files, the weights included; raise `ModelUnavailable` if they are bad."""
    folder = choice.path
    if folder is None or not folder.is_dir():
        return ModelRecord(reference=choice.id)
    provenance = read_provenance(folder)
    recipe = "" if provenance is None else provenance.made_by
    if choice.source in ("made", "bundled"):
        recipe = choice.id
    try:
        weights = model_hash(folder)
    except OSError as error:
        raise ModelUnavailable(f"{error.filename} cannot be read ({error.strerror}).") from error
    return ModelRecord(
        reference=choice.id,
        weights=weights,
        quantisation=_in_words(quantization_of(read_json_object(folder / "config.json"))),
        adapter=None if provenance is None else provenance.parents.get("adapter"),
        recipe=recipe,
    )


def _in_words(quantization: Quantization | None) -> str:
    if quantization is None:
        return "none"
    mode = "" if quantization.mode == "affine" else f", {quantization.mode}"
    return f"{quantization.bits} bits in groups of {quantization.group_size}{mode}"


def machine_record() -> MachineRecord:
    """Look at this machine; its name and its users are not looked at."""
    return MachineRecord(
        system=f"{platform.system()} {platform.machine()}",
        processor=_processor(),
        cores=os.cpu_count() or 1,
        memory=machine_memory(measure_free=False).total,
    )


def _processor() -> str:
    if sys.platform == "darwin":
        return _said(["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"])
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "")


def source_revision() -> str:
    """Return the git revision of Punie's own source; "" where it was not run from a checkout."""
    root = Path(punie.__file__).parents[1]
    if not (root / ".git").exists():
        return ""
    git = ["git", "-C", str(root), "--no-optional-locks"]
    revision = _said([*git, "rev-parse", "--short=12", "HEAD"])
    is_changed = bool(revision and _said([*git, "status", "--porcelain", "-uno", "--", "punie"]))
    return revision + "+" * is_changed


def _said(command: Sequence[str]) -> str:
    """Return what a program prints, "" if it fails."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=_GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def write_run(folder: Path, record: RunRecord) -> None:
    """Write a run's record into its folder; raise `EvaluationError` if that cannot be done."""
    try:
        write_text(folder / RUN, record.model_dump_json(indent=2) + "\n")
    except TrainingError as error:
        raise EvaluationError(str(error)) from error


def read_run(folder: Path) -> RunRecord:
    """Read a run's record.

    Raises:
        EvaluationError: the folder is none of a run, or its record cannot be read.
    """
    file = folder / RUN
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise EvaluationError(f"{folder} is not a run of `punie eval`: no {RUN} in it.") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise EvaluationError(f"{file} cannot be read ({reason}).") from error
    try:
        return RunRecord.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise EvaluationError(
            f"{file} is not the record of a run ({where}: {first['msg']})."
        ) from error
