"""Runs a graph: each step in a process of its own, none that is done already."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import ValidationError

from punie.training.errors import TrainingError
from punie.training.gates.report import GateReport
from punie.training.hashing import value_hash
from punie.training.output import written_in_words
from punie.training.pipeline.content import content_hash
from punie.training.pipeline.graph import FromFolder, FromStep, Graph, Node, Source
from punie.training.pipeline.runs import Run, StepStatus, asked_to_stop, write_run
from punie.training.pipeline.step import REPORT, GateStep
from punie.training.pipeline.store import Record, Store, step_key
from punie.training.pipeline.worker import Order
from punie.training.progress import Interrupted, Progress, Reporter, Stopped
from punie.training.provenance import record_gate
from punie.training.worker_process import Reply, follow, how_it_ended

_WRITE_SECONDS = 1.0
_AROUND = "surroundings"
_LAST_LINES = 5
_LOG_BYTES = 4096


@dataclass
class Running:
    """What a run of a graph needs at hand.

    `interrupted` tells of a signal, `again` are steps to be done anew, `outcomes` the records of
    what is done.
    """

    store: Store
    run: Run
    report: Reporter
    interrupted: Stopped
    again: Sequence[str] = ()
    outcomes: dict[str, Record] = field(default_factory=dict)
    _written: float = 0.0

    def stopped(self) -> bool:
        """Tell whether it is to save and end: by a signal, or because word was left for it."""
        return self.interrupted() or asked_to_stop(self.store, self.run.name)

    def note(self, *, now: bool = True) -> None:
        """Write down how it is; without `now` only if that was not done just before."""
        if not now and time.monotonic() - self._written < _WRITE_SECONDS:
            return
        self._written = time.monotonic()
        # A full disk is told by the step that needs the room.
        with suppress(TrainingError):
            write_run(self.store, self.run)


def run_graph(graph: Graph, running: Running, *, keep_going: bool = False) -> None:
    """Run what is not done yet, in order.

    With `keep_going`, what does not depend on a failed step is done all the same, and nothing is
    raised for it: the steps' states tell.

    Raises:
        TrainingError: a step failed or a gate did not pass.
        Interrupted: it was asked to stop; the step has saved what it had.
    """
    for node in graph.nodes.values():
        status = running.run.step(node.name)
        lacking = [name for name in node.needed if not _is_done(running, name)]
        if lacking:
            status.state = "skipped"
            status.sentence = f"It needs {lacking[0]}."
            continue
        try:
            running.outcomes[node.name] = _run_node(node, running)
        except Interrupted as error:
            status.state, status.ended, status.pid = "stopped", time.time(), None
            status.sentence = str(error)
            running.note()
            raise
        except TrainingError as error:
            status.state, status.ended, status.pid = "failed", time.time(), None
            status.sentence = str(error)
            running.note()
            if not keep_going:
                raise
            continue
        if running.outcomes[node.name].passed is False:
            status.state = "refused"
            status.sentence = refusal(running.store, status.key or "")
            running.note()
            if not keep_going:
                raise TrainingError(f"{node.name}: {status.sentence}")


def _is_done(running: Running, name: str) -> bool:
    return running.run.step(name).state in ("done", "reused")


def input_hashes(
    node: Node, store: Store, outcomes: Mapping[str, Record]
) -> dict[str, list[str]] | None:
    """Return the content of a step's inputs, None if one is not there yet."""

    def of(source: Source, role: str) -> str | None:
        if isinstance(source, FromStep):
            record = outcomes.get(source.name)
            return None if record is None else record.output
        if source.path is None:
            return value_hash(source.reference)
        return content_hash(node.step.roles[role].artifact, source.path, store.hashes)

    found: dict[str, list[str]] = {}
    for role, sources in node.inputs.items():
        hashes = [of(source, role) for source in sources]
        known = [one for one in hashes if one is not None]
        if len(known) != len(hashes):
            return None
        found[role] = known
    around = node.step.surroundings(node.options)
    if around is not None:
        found[_AROUND] = [around]
    return found


def node_key(node: Node, hashes: Mapping[str, list[str]]) -> str:
    """Return the key of a step whose inputs are there."""
    return step_key(node.step.kind, node.step.version, node.decisive, hashes)


def input_paths(node: Node, running: Running) -> dict[str, list[str]]:
    """Return where a step's inputs lie."""

    def of(source: Source) -> str:
        if isinstance(source, FromFolder):
            return source.reference if source.path is None else str(source.path)
        key = running.run.step(source.name).key
        assert key is not None
        return str(running.store.output(key, running.outcomes[source.name].artifact))

    return {role: [of(source) for source in sources] for role, sources in node.inputs.items()}


def _run_node(node: Node, running: Running) -> Record:
    status = running.run.step(node.name)
    hashes = input_hashes(node, running.store, running.outcomes)
    assert hashes is not None
    key = node_key(node, hashes)
    status.key = key
    inputs = input_paths(node, running)
    if node.name in running.again:
        running.store.forget(key)
    record = running.store.record(key)
    if record is not None:
        status.state, status.sentence = "reused", ""
    else:
        status.state, status.started, status.sentence = "running", time.time(), ""
        status.ended = status.progress = None
        running.note()
        order = Order(
            store=running.store.folder,
            name=node.name,
            kind=node.step.kind,
            options=node.options.model_dump(mode="json"),
            inputs=inputs,
            hashes=hashes,
        )
        _run_worker(order, key, status, running)
        record = running.store.record(key)
        if record is None:
            raise TrainingError(f"{node.name} left no output; run the pipeline again.")
        status.state, status.ended, status.pid = "done", time.time(), None
    if isinstance(node.step, GateStep):
        _record_verdict(node.step, inputs, key, running.store)
    running.note()
    return record


def _record_verdict(
    step: GateStep, inputs: Mapping[str, list[str]], key: str, store: Store
) -> None:
    """Keep a gate's report in the folder of the model that it judges, if that is of this store."""
    if step.judges is None:
        return
    folder = Path(inputs[step.judges][0])
    if folder.is_relative_to(store.folder / "steps"):
        record_gate(folder, read_report(store, key))


def read_report(store: Store, key: str) -> GateReport:
    """Return what a gate found.

    Raises:
        TrainingError: its report is not there or cannot be read.
    """
    file = store.output(key, "report") / REPORT
    try:
        return GateReport.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise TrainingError(f"{file} cannot be read; remove its folder and run again.") from error


def refusal(store: Store, key: str) -> str:
    """Say in a sentence what a gate did not let pass, and where its report is."""
    report = read_report(store, key)
    first = "; ".join(check.found.rstrip(".") for check in report.failures[:2]) or "it saw nothing"
    file = store.output(key, "report") / REPORT
    return f"gate {report.gate} did not let it pass ({first}); {file} has the whole report."


def _run_worker(order: Order, key: str, status: StepStatus, running: Running) -> None:
    folder = running.store.step(key)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        log = running.store.log(key).open("ab")
    except OSError as error:
        raise TrainingError(written_in_words(error, folder)) from error
    with log:
        begin = log.tell()
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "punie.training.pipeline.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=folder,
            start_new_session=True,
        )
    status.pid = process.pid
    last = follow(
        process, order, _taker(status, running), running.stopped, lambda: running.note(now=False)
    )
    code = process.wait()
    if last is None and code == -signal.SIGTERM and running.stopped():
        # It was asked to stop before it could hear of it.
        raise Interrupted(f"Stopped before {order.name} had begun; the same command goes on.")
    if last is None:
        raise TrainingError(_crashed(order.name, code, running.store.log(key), begin))
    if last.ended == "interrupted":
        raise Interrupted(last.sentence)
    if last.ended == "failed":
        raise TrainingError(f"{order.name}: {last.sentence}")


def _taker(status: StepStatus, running: Running) -> Callable[[Reply], None]:
    def take(reply: Reply) -> None:
        found = reply.progress or {}
        progress = Progress(**found)
        before = status.progress
        if before is None or before.get("doing") != found.get("doing"):
            status.since = time.time()
            found["first"] = found.get("done", 0.0)
        else:
            found["first"] = before.get("first", 0.0)
        if progress.waits:
            # So that it does not count as time that the step takes.
            status.started = time.time()
        status.progress = found
        running.note(now=False)
        place = [step.name for step in running.run.steps].index(status.name) + 1
        doing = f"{place}/{len(running.run.steps)} {status.name}: {progress.doing}"
        running.report(replace(progress, doing=doing))

    return take


def _crashed(name: str, code: int, log: Path, begin: int) -> str:
    with log.open("rb") as file:
        file.seek(max(begin, log.stat().st_size - _LOG_BYTES))
        lines = file.read().decode("utf-8", "replace").split("\n")
    end = "\n".join(f"    {line}" for line in lines if line.strip()) if lines else ""
    shown = "\n".join(end.splitlines()[-_LAST_LINES:])
    said = f", after it said:\n{shown}\n  " if shown else "; "
    how = how_it_ended(code)
    return f"The process of {name} {how}{said}{log} has all of it. Run the pipeline again to go on."
