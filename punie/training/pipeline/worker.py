"""The process of one step. `python -m punie.training.pipeline.worker`, started by the runner.

See `punie.training.worker_process` for what it is told and what it answers.
"""

import resource
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from punie import __version__
from punie.models.catalog import read_json_object
from punie.training.pipeline.content import content_hash, shape_hash
from punie.training.pipeline.kinds import step_of
from punie.training.pipeline.step import REPORT, Call, GateStep, Step
from punie.training.pipeline.store import Record, Store, folder_bytes, step_key
from punie.training.process import prepare_process
from punie.training.progress import Interrupted, Progress, Stopped
from punie.training.worker_process import Answer, Reply, leave_after, passed_on, work

_SECONDS_BETWEEN = 0.2


class Order(BaseModel):
    """What a worker is to do: inputs as paths (or served models) by role, and their hashes."""

    store: Path
    name: str
    kind: str
    options: dict[str, Any]
    inputs: dict[str, list[str]]
    hashes: dict[str, list[str]]


def main() -> int:
    """Run one step; return 0 if it is done, 1 if not."""
    return work(_do)


def _do(given: bytes, answer: Answer, stopped: Stopped) -> None:
    order = Order.model_validate_json(given)
    store = Store(order.store)
    step = step_of(order.kind)
    if step.computes:
        for line in prepare_process(step.threads, exact=step.exact):
            print(line, file=sys.stderr)
    options: Any = step.options_type().model_validate(order.options)
    decisive = {
        name: value
        for name, value in options.model_dump(mode="json").items()
        if name not in step.neutral
    }
    key = step_key(order.kind, step.version, decisive, order.hashes)
    artifact = step.makes(options)
    out = store.output(key, artifact)
    with _alone(store, key, answer, stopped):
        if store.record(key) is not None:
            return
        inputs = {role: tuple(found) for role, found in order.inputs.items()}
        if not out.exists():
            store.begin(key)
            try:
                report = passed_on(answer)
                step.run(Call(options, inputs, out, report, stopped, store.folder))
            finally:
                store.pause(key)
        count, seconds = store.attempts(key)
        started = time.time() - (seconds or 0.0)
        passed = None
        if isinstance(step, GateStep):
            from punie.training.gates.report import GateReport

            text = (out / REPORT).read_text(encoding="utf-8")
            passed = GateReport.model_validate_json(text).passed
        store.finish(
            key,
            Record(
                kind=order.kind,
                version=step.version,
                options=decisive,
                inputs=order.hashes,
                name=order.name,
                artifact=artifact,
                output=content_hash(artifact, out, store.hashes),
                passed=passed,
                figures=step.figures(out),
                started=started,
                ended=time.time(),
                seconds=seconds,
                attempts=count,
                memory=_peak_memory(),
                work=step.work(options),
                like=_like(step, inputs),
                bytes=folder_bytes(out),
                punie=__version__,
            ),
        )


def _like(step: Step, inputs: Mapping[str, tuple[str, ...]]) -> str:
    """Return the shape of the first model that a step works on."""
    for role, about in step.roles.items():
        if about.artifact == "model" and inputs.get(role):
            file = Path(inputs[role][0]) / "config.json"
            return shape_hash(read_json_object(file)) if file.is_file() else ""
    return ""


@contextmanager
def _alone(store: Store, key: str, answer: Answer, stopped: Stopped) -> Iterator[None]:
    """Hold the lock of a step, if need be after another pipeline that does the same one."""
    waits = Progress("waiting for another pipeline that does the same", 0, None, "")
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(store.locked(key, wait=False))
            except BlockingIOError:
                if stopped():
                    said = "Stopped while another pipeline did the same step."
                    raise Interrupted(said) from None
                answer(Reply(progress=asdict(waits)))
                time.sleep(_SECONDS_BETWEEN)
            else:
                break
        yield


def _peak_memory() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    peak = max(resource.getrusage(each).ru_maxrss for each in who) * unit
    mlx = sys.modules.get("mlx.core")
    return peak if mlx is None else max(peak, int(mlx.get_peak_memory()))


if __name__ == "__main__":
    leave_after(main)
