"""The log of a training run: a JSON line for each step, and what a run that goes on keeps of it."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from punie.training.output import write_text


def read_curve(file: Path) -> list[dict[str, Any]]:
    """Return the lines of a log; a last one that was cut off is left out."""
    if not file.is_file():
        return []
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


@contextmanager
def curve_from(file: Path, step: int) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Yield what writes a line; lines of steps after `step` are taken back, as they come again.

    Raises:
        TrainingError: it cannot be written.
    """
    kept = [row for row in read_curve(file) if row["step"] <= step]
    write_text(file, "".join(json.dumps(row) + "\n" for row in kept))
    with file.open("a", encoding="utf-8") as log:

        def note(row: Mapping[str, Any]) -> None:
            log.write(json.dumps(dict(row)) + "\n")
            log.flush()

        yield note
