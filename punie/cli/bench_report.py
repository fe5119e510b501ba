"""What `punie bench` shows: one line for each figure, or JSON, and what it is doing."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from punie.models.mlx.bench.rows import Finding, Row
from punie.models.mlx.bench.suite import Measurement

Show = Callable[[str], None]
_MARKS = {True: "ok", False: "no", None: "  "}


@dataclass
class Report:
    """What was found so far, shown to a person at once or as JSON in the end."""

    as_json: bool
    found: list[tuple[str, Finding]] = field(default_factory=list)

    def begin(self, title: str) -> None:
        """Say what is measured."""
        if not self.as_json:
            print(title)

    def add(self, measurement: Measurement, findings: Sequence[Finding]) -> None:
        """Take what a measurement found."""
        self.found += [(measurement.name, finding) for finding in findings]
        if self.as_json:
            return
        print(f"\n{measurement.name}: {measurement.summary}")
        for finding in findings:
            mark = _MARKS[finding.holds] if isinstance(finding, Row) else " -"
            print(f"{mark} {finding.line()}", flush=True)

    def end(self, **heading: Any) -> list[Finding]:
        """Print what is for programs; return all that was found."""
        if self.as_json:
            rows = [{"measurement": name, **finding.as_json()} for name, finding in self.found]
            print(json.dumps({**heading, "rows": rows}, indent=2, ensure_ascii=False))
        return [finding for _, finding in self.found]


@contextmanager
def status(name: str, summary: str = "") -> Iterator[Show]:
    """Show on stderr what is being done: a line that changes on a terminal, else one line."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        print(f"{name}: {summary}" if summary else name, file=sys.stderr, flush=True)
        yield lambda _: None
        return
    with console.status(name) as shown:
        yield lambda text: shown.update(f"{name}: {text}")
