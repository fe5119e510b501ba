"""The process of one step. `python -m punie.training.pipeline.worker`, started by the runner.

The first line of stdin says what to do; when stdin ends, the runner is gone, and the step saves and
leaves. Each line on stdout is a JSON object for the runner: progress, or how it ended.
"""

import json
import os
import resource
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from punie import __version__
from punie.models.catalog import ModelUnavailable, read_json_object
from punie.training.errors import TrainingError
from punie.training.pipeline.content import content_hash, shape_hash
from punie.training.pipeline.kinds import step_of
from punie.training.pipeline.step import REPORT, Call, GateStep, Step
from punie.training.pipeline.store import Record, Store, folder_bytes, step_key
from punie.training.process import prepare_process
from punie.training.progress import Interrupted, Progress, stop_on_signals

_SECONDS_BETWEEN = 0.2


class Order(BaseModel):
    """What a worker is to do: inputs as paths (or served models) by role, and their hashes."""

    store: Path
    name: str
    kind: str
    options: dict[str, Any]
    inputs: dict[str, list[str]]
    hashes: dict[str, list[str]]


class Reply(BaseModel):
    """One line of a worker: its progress, or how it ended."""

    progress: dict[str, Any] | None = None
    ended: str | None = None
    """"done", "interrupted" or "failed"."""
    sentence: str = ""


def main() -> int:
    """Run one step; return 0 if it is done, 1 if not."""
    answer = _channel()
    order = Order.model_validate_json(sys.stdin.buffer.readline())
    gone = threading.Event()
    threading.Thread(target=_watch, args=(gone,), daemon=True).start()
    try:
        with stop_on_signals() as asked:
            _do(order, answer, lambda: asked() or gone.is_set())
    except Interrupted as error:
        answer(Reply(ended="interrupted", sentence=str(error)))
        return 1
    except (TrainingError, ModelUnavailable) as error:
        answer(Reply(ended="failed", sentence=str(error)))
        return 1
    answer(Reply(ended="done"))
    return 0


def _do(order: Order, answer: Callable[[Reply], None], stopped: Callable[[], bool]) -> None:
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
                report = _Reporter(answer)
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
def _alone(
    store: Store, key: str, answer: Callable[[Reply], None], stopped: Callable[[], bool]
) -> Iterator[None]:
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


class _Reporter:
    """Passes progress on, at most so often that it can be read."""

    def __init__(self, answer: Callable[[Reply], None]) -> None:
        self._answer = answer
        self._said, self._doing = 0.0, ""

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.doing == self._doing and now - self._said < _SECONDS_BETWEEN:
            return
        self._said, self._doing = now, progress.doing
        plain = {**asdict(progress), "metrics": dict(progress.metrics)}
        self._answer(Reply(progress=plain))


def _channel() -> Callable[[Reply], None]:
    """Return what writes to the runner; whatever else is printed goes to stderr, into the log."""
    own = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(reply: Reply) -> None:
        # A runner that is gone hears nothing; the end of stdin tells the step.
        with suppress(OSError, ValueError):
            own.write(json.dumps(reply.model_dump(exclude_defaults=True)) + "\n")
            own.flush()

    return answer


def _watch(gone: threading.Event) -> None:
    # Not by way of `sys.stdin`, whose lock would be held when the interpreter ends.
    while os.read(0, 1):
        pass
    gone.set()


def _peak_memory() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    peak = max(resource.getrusage(each).ru_maxrss for each in who) * unit
    mlx = sys.modules.get("mlx.core")
    return peak if mlx is None else max(peak, int(mlx.get_peak_memory()))


if __name__ == "__main__":
    try:
        code = main()
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    # Not a return: see `punie.cli.main`, a thread of MLX may outlive the interpreter.
    os._exit(code)
