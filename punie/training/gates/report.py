"""What a gate found: checks with figures, and whether the next step may start."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

GateName = Literal["zero", "data", "training", "conversion", "serving"]
"""The gates in the order of a pipeline. `conversion` stands behind fusing and quantising."""


class Check(BaseModel):
    """One thing that a gate looked at.

    Attributes:
        name: what was looked at, in a few words.
        passed: whether it is as it must be.
        found: what was found, in a sentence.
        measured: the figure behind it, where there is one.
        limit: what the figure may be at most or at least, where there is one.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    passed: bool
    found: str
    measured: float | None = None
    limit: float | None = None


class GateReport(BaseModel):
    """What one gate found. It passes only if it looked at something and everything passed.

    Attributes:
        gate: which gate.
        subject: what was looked at, such as a model's folder, as it was named.
        subject_hash: hash of what was looked at, so that a report cannot speak of something else.
        checks: what was looked at, in order.
    """

    model_config = ConfigDict(frozen=True)

    gate: GateName
    subject: str
    subject_hash: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether the next step may start."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if not check.passed)

    def lines(self) -> list[str]:
        """Return the report for a terminal."""
        verdict = "passed" if self.passed else "FAILED"
        rows = [f"gate {self.gate}: {verdict} ({self.subject})"]
        for check in self.checks:
            rows.append(f"  {'ok  ' if check.passed else 'FAIL'} {check.name}: {check.found}")
        return rows
