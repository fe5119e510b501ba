"""What a measurement found: one row for each figure. Light to import."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal


class BenchError(Exception):
    """A measurement cannot be made; the message is one sentence."""


@dataclass(frozen=True)
class Limit:
    """What a value has to be."""

    kind: Literal["at most", "at least"]
    value: float

    def holds(self, value: float) -> bool:
        """Tell whether a value is within the limit."""
        return value <= self.value if self.kind == "at most" else value >= self.value


Unit = Literal[
    "times",
    "per token",
    "%",
    "s",
    "ms",
    "µs",
    "tokens",
    "tokens/s",
    "calls",
    "MB",
    "examples/min",
    "items",
    "items/min",
]
_DIGITS: dict[Unit, int] = {"times": 2, "per token": 3, "%": 1, "s": 2, "ms": 1, "µs": 1}


@dataclass(frozen=True)
class Sides:
    """What Punie and another server came to, run by run in the same order, in `unit`."""

    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    unit: Unit

    def as_json(self) -> dict[str, Any]:
        """Return it for `--json`."""
        return {
            "ours": statistics.median(self.ours),
            "theirs": statistics.median(self.theirs),
            "in": self.unit,
            "ours_runs": list(self.ours),
            "theirs_runs": list(self.theirs),
        }


@dataclass(frozen=True)
class Row:
    """One figure; `compared` goes on from value and unit: what with, and how it was come by.

    `sides` are the figures that a ratio was made from.
    """

    name: str
    value: float
    unit: Unit
    compared: str
    limit: Limit | None = None
    sides: Sides | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the value is within its limit; None without one."""
        return None if self.limit is None else self.limit.holds(self.value)

    def line(self) -> str:
        """Say it in one line."""
        limit = f"; {self.limit.kind} {number(self.limit.value, self.unit)}" if self.limit else ""
        unit = self.unit if self.unit == "%" else f" {self.unit}"
        return f"{self.name}: {number(self.value, self.unit)}{unit} {self.compared}{limit}"

    def as_json(self) -> dict[str, Any]:
        """Return it for `--json`."""
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "limit": None if self.limit is None else f"{self.limit.kind} {self.limit.value:g}",
            "holds": self.holds,
            "compared": self.compared,
            **({} if self.sides is None else self.sides.as_json()),
        }


def number(value: float, unit: Unit) -> str:
    """Write a value with as many digits as its unit is worth."""
    return f"{value:,.{_DIGITS.get(unit, 0)}f}"


def ratio(name: str, sides: Sides, whose: str, how: str = "", limit: Limit | None = None) -> Row:
    """Return our median by theirs; `whose` names the other side and `how` goes on behind it."""
    ours, theirs = statistics.median(sides.ours), statistics.median(sides.theirs)
    runs = len(sides.ours)
    of = f", medians of {runs}" if runs > 1 else ""
    both = f"{number(ours, sides.unit)} and {number(theirs, sides.unit)} {sides.unit}{of}"
    text = f"that of {whose}{f' {how}' if how else ''} ({both})"
    return Row(name, ours / theirs, "times", text, limit, sides)


@dataclass(frozen=True)
class Skipped:
    """A figure that was not measured, and why not."""

    name: str
    reason: str

    def line(self) -> str:
        """Say it in one line."""
        return f"{self.name}: not measured; {self.reason}"

    def as_json(self) -> dict[str, Any]:
        """Return it for `--json`."""
        return {"name": self.name, "skipped": self.reason}


Finding = Row | Skipped


def all_hold(findings: Sequence[Finding]) -> bool:
    """Tell whether no limit is missed."""
    return all(finding.holds is not False for finding in findings if isinstance(finding, Row))
