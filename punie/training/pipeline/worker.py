"""The process of one step. `python -m punie.training.pipeline.worker`, started by the runner.

See `punie.training.worker_process` for what it is told and what it answers.
"""

import resource
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
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
from punie.training.progress import Stopped
from punie.training.waiting import held, whole_machine
from punie.training.worker_process import Answer, leave_after, passed_on, work

_SAME = "another pipeline that does the same"


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
    report = passed_on(answer)
    with held(lambda: store.locked(key, wait=False), lambda: _SAME, report, stopped):
        if store.record(key) is not None:
            return
        inputs = {role: tuple(found) for role, found in order.inputs.items()}
        if not out.exists():
            with whole_machine(report, stopped) if step.alone else nullcontext():
                store.begin(key)
                try:
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


def _peak_memory() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    peak = max(resource.getrusage(each).ru_maxrss for each in who) * unit
    mlx = sys.modules.get("mlx.core")
    return peak if mlx is None else max(peak, int(mlx.get_peak_memory()))


if __name__ == "__main__":
    leave_after(main)
