"""What `punie pipeline status` tells of a run."""

import time
from typing import Any

from punie.models.machine import machine_memory
from punie.models.memory import gigabytes
from punie.training.pipeline.runs import Run, StepStatus, output_file
from punie.training.pipeline.step import REPORT
from punie.training.pipeline.store import Record, Store

_OVER = ("done", "reused")
_WORTH_A_LOOK = (REPORT, "run.json", "conversion.json", "acceptance.json", "curve.svg")
"""Files of outputs that are for people."""


def status_lines(store: Store, run: Run) -> list[str]:
    """Return a run for a terminal."""
    over = sum(step.state in _OVER for step in run.steps)
    head = f"{run.name}: {run.state}, {over} of {len(run.steps)} steps"
    if run.state == "running":
        head += f", {_left(run)} left (process {run.pid})"
    elif run.ended is not None:
        head += f", {duration(time.time() - run.ended)} ago"
    lines = [head]
    if run.sentence:
        lines.append(f"  {run.sentence}")
    width = max(len(step.name) for step in run.steps)
    for step in run.steps:
        lines.append(f"  {step.state:8} {step.name:{width}}  {_told(store, step)}".rstrip())
        if step.sentence and step.state in ("failed", "refused", "stopped"):
            lines.append(f"           {step.sentence}")
    if run.state == "done":
        lines += _outcome(store, run)
    log = output_file(store, run.name)
    if run.state in ("failed", "stopped") and log.is_file():
        lines.append(f"  all that it said: {log}")
    return lines


def status_json(store: Store, run: Run) -> dict[str, Any]:
    """Return a run for `--json`: the run itself, and of each step that is done its record."""
    plain = run.model_dump(mode="json")
    plain["seconds_left"] = seconds_left(run)
    machine = machine_memory()
    plain["memory"] = {"usable": machine.usable, "available": machine.available}
    for step, found in zip(run.steps, plain["steps"], strict=True):
        found["seconds_left"] = step.seconds_left
        record = None if step.key is None else store.record(step.key)
        if record is not None and step.key is not None:
            found["record"] = record.model_dump(mode="json")
            found["output"] = str(store.output(step.key, record.artifact))
    return plain


def seconds_left(run: Run) -> float | None:
    """Return the seconds until all is done, None if one step's time is unknown."""
    known, unknown = _times_left(run)
    return None if unknown else known


def duration(seconds: float) -> str:
    """Write a time for a person: "40 s", "12 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 1 else "1 s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def _left(run: Run) -> str:
    known, unknown = _times_left(run)
    if unknown and known < 1:
        return "unknown time"
    return f"{'more than' if unknown else 'about'} {duration(known)}"


def _times_left(run: Run) -> tuple[float, int]:
    """Return the seconds until those steps are done whose time is known, and how many others."""
    left = [step.seconds_left for step in run.steps if step.state in ("waiting", "running")]
    known = [seconds for seconds in left if seconds is not None]
    return sum(known), len(left) - len(known)


def _told(store: Store, step: StepStatus) -> str:
    record = None if step.key is None else store.record(step.key)
    if step.state in _OVER and record is not None:
        return _of_record(record)
    if step.state != "running":
        return _needs(step)
    parts = [] if step.started is None else [f"for {duration(time.time() - step.started)}"]
    if step.progress:
        parts.insert(0, _progress(step))
    if step.seconds_left is not None:
        parts.append(f"{duration(step.seconds_left)} left")
    if step.pid is not None:
        parts.append(f"process {step.pid}")
    return "; ".join(part for part in (", ".join(parts), _needs(step)) if part)


def _progress(step: StepStatus) -> str:
    found = step.progress or {}
    done, total, unit = found.get("done", 0), found.get("total"), found.get("unit", "")
    text = str(found.get("doing", ""))
    if total:
        text += f" {done:,.0f} of {total:,.0f} {unit} ({done / total:.0%})"
    elif unit:
        text += f" {done:,.0f} {unit}"
    first = found.get("first", 0.0)
    if step.since is not None and done > first and time.time() > step.since:
        text += f", {(done - first) / (time.time() - step.since):,.3g} {unit}/s"
    for name, value in (found.get("metrics") or {}).items():
        text += f", {name} {value:.4g}" if isinstance(value, float) else f", {name} {value}"
    return text


def _needs(step: StepStatus) -> str:
    if step.memory is None:
        return ""
    machine = machine_memory()
    return (
        f"needs about {gigabytes(step.memory)} of memory, {gigabytes(machine.available)} of "
        f"{gigabytes(machine.usable)} are free"
    )


def _of_record(record: Record) -> str:
    if record.passed is not None:
        return "passed" if record.passed else "did not pass"
    parts = [f"{name} {figure}" for name, figure in list(record.figures.items())[:4]]
    if record.artifact != "report":
        parts.append(gigabytes(record.bytes))
    if record.seconds is not None:
        parts.append(duration(record.seconds))
    return ", ".join(parts)


def _outcome(store: Store, run: Run) -> list[str]:
    """Say what came out, and what to look at next."""
    lines = ["", "What came out:"]
    gates = 0
    for step in run.steps:
        record = None if step.key is None else store.record(step.key)
        if record is None:
            continue
        if record.passed is not None:
            gates += 1
            continue
        for name, figure in record.figures.items():
            lines.append(f"  {step.name}: {name} {figure}")
    if gates:
        lines.append(f"  all {gates} gates passed")
    for name, key in run.results.items():
        record = store.record(key)
        size = "" if record is None else f", {gigabytes(record.bytes)}"
        lines.append(f"  model {name}{size}: {store.output(key, 'model')}")
    if run.searched:
        lines += ["", *search_table(run.searched)]
    lines += ["", "What to look at:"]
    for step in run.steps:
        if step.key is not None:
            output = store.output(step.key, step.makes)
            found = [output / name for name in _WORTH_A_LOOK if (output / name).is_file()]
            lines += [f"  {file}  ({step.name})" for file in found]
    lines += [f"  punie models use {name}" for name in run.results]
    return lines


def search_table(rows: list[dict[str, Any]]) -> list[str]:
    """Return the rows of a search for a terminal; the best one has a star."""
    columns = list(dict.fromkeys(key for row in rows for key in row if key != "best"))
    cells = [[str(row.get(column, "")) for column in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    marks = ["*" if row.get("best") else " " for row in rows]
    lines = []
    for mark, row in zip([" ", *marks], [columns, *cells], strict=True):
        text = "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
        lines.append(f"{mark} {text}".rstrip())
    return lines
