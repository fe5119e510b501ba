"""Figures that others published, kept beside our own and never counted with them.

They come from a TOML file: `[source]` tells who published them and on which machine, each table of
`[benchmarks]` what was really measured, and each of `[[rows]]` one published line.
"""

import datetime
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from punie.evaluation.errors import EvaluationError
from punie.evaluation.intervals import Rate, rate

AS_REPORTED = "as reported there"
"""How every figure of others is marked."""

Standing = Literal["logged", "stated", "claimed", "doubtful"]
"""What stands behind a row: a log of the run, a table, a claim that was later taken back or not
shown, or a measurement that has probably met another model."""

_FIGURES = ("hits", "soft_hits", "share", "load_seconds", "first_seconds", "seconds", "gigabytes")


class Reported(BaseModel):
    """One line that others published.

    Attributes:
        source: who published it.
        machine: what it was measured on.
        benchmark: what they call it.
        measured: what it really measured, in a sentence.
        suite: our suite that asks for about the same, "" if none does.
        date: when; None if that is not told.
        model: which model, as they name it.
        condition: how it was run.
        standing: what stands behind it.
        note: what else has to be known.
        hits, of: how many cases were right.
        soft_hits: how many were right by a lenient rule, where there are two.
        share: what was right, where cases were given parts of a point or are not told.
        load_seconds: loading the model.
        first_seconds: the first query.
        seconds: a later query, or the mean of all.
        gigabytes: memory of the model.
        calls: tool calls.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    machine: str
    benchmark: str
    measured: str
    suite: str = ""
    date: datetime.date | None = None
    model: str
    condition: str = ""
    standing: Standing = "stated"
    note: str = ""
    hits: int | None = Field(default=None, ge=0)
    of: int | None = Field(default=None, ge=1)
    soft_hits: int | None = Field(default=None, ge=0)
    share: float | None = Field(default=None, ge=0, le=1)
    load_seconds: float | None = Field(default=None, ge=0)
    first_seconds: float | None = Field(default=None, ge=0)
    seconds: float | None = Field(default=None, ge=0)
    gigabytes: float | None = Field(default=None, ge=0)
    calls: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if all(getattr(self, name) is None for name in _FIGURES):
            raise ValueError("it has no figure")
        for hits in (self.hits, self.soft_hits):
            if hits is not None and (self.of is None or hits > self.of):
                raise ValueError("it has more hits than cases")
        if self.hits is not None and self.share is not None:
            raise ValueError("it has hits and a share")
        return self

    @property
    def right(self) -> Rate | None:
        """What was right with its interval; None where the cases are not counted."""
        return None if self.hits is None or self.of is None else rate(self.hits, self.of)


def read_reported(file: Path | None = None) -> list[Reported]:
    """Read the rows of a file, by default those that come with Punie.

    Raises:
        EvaluationError: the file cannot be read or is not of this form.
    """
    if file is None:
        packaged = resources.files("punie.evaluation.tracker") / "reported.toml"
        return _rows(packaged.read_text(encoding="utf-8"), "reported.toml")
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise EvaluationError(f"{file} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{file} cannot be read (not text).") from error
    return _rows(text, str(file))


def _rows(text: str, name: str) -> list[Reported]:
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise EvaluationError(f"{name} is not TOML ({error}).") from error
    source, benchmarks, rows = (found.get(key) for key in ("source", "benchmarks", "rows"))
    if not (isinstance(source, dict) and isinstance(benchmarks, dict) and isinstance(rows, list)):
        raise EvaluationError(f"{name} lacks [source], [benchmarks] or [[rows]].")
    return [_row(source, benchmarks, row, f"{name}, row {n}") for n, row in enumerate(rows, 1)]


def _row(
    source: Mapping[str, Any], benchmarks: Mapping[str, Any], row: Any, where: str
) -> Reported:
    benchmark = benchmarks.get(str(row.get("benchmark"))) if isinstance(row, dict) else None
    if not isinstance(benchmark, dict):
        raise EvaluationError(f"{where}: it names no benchmark of [benchmarks].")
    about = {"source": source.get("name"), "machine": source.get("machine")}
    named = {"benchmark": benchmark.get("title")}
    shared = {key: value for key, value in benchmark.items() if key != "title"}
    try:
        return Reported.model_validate({**about, **shared, **row, **named})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise EvaluationError(f"{where}: {place + ': ' if place else ''}{first['msg']}.") from error
