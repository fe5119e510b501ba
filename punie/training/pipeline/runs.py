"""What a pipeline does or did last, as `punie pipeline status` reads it."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from punie.file_locks import is_held
from punie.training.errors import TrainingError
from punie.training.output import write_text, written_in_words
from punie.training.pipeline.step import Artifact
from punie.training.pipeline.store import Store

StepState = Literal[
    "waiting", "running", "done", "reused", "failed", "refused", "stopped", "skipped"
]
"""`refused` is a gate that did not pass; `skipped` waited for something that failed."""
RunState = Literal["running", "done", "failed", "stopped"]

_STATE = "state.json"
_LOCK = "lock"
_STOP = "stop"
_OUTPUT = "output.log"


class StepStatus(BaseModel):
    """One step of a run; times in seconds since 1970.

    Attributes:
        key: of the store, once the inputs are known.
        makes: what comes out.
        sentence: why it failed.
        expected: seconds that it may take, from earlier steps of the kind.
        memory, disk: bytes that it needs, where that is known.
        progress: the last that it reported.
        since: when it began to report this kind of work.
    """

    model_config = ConfigDict(validate_assignment=True)

    name: str
    kind: str
    makes: Artifact
    key: str | None = None
    state: StepState = "waiting"
    sentence: str = ""
    started: float | None = None
    ended: float | None = None
    expected: float | None = None
    memory: int | None = None
    disk: int | None = None
    pid: int | None = None
    progress: dict[str, Any] | None = None
    since: float | None = None

    @property
    def seconds_left(self) -> float | None:
        """Seconds until it is done, by its own progress or else as expected; None if unknown."""
        if self.state != "running":
            return self.expected if self.state == "waiting" else 0.0
        now = time.time()
        if self.progress and self.since:
            done, total = self.progress.get("done"), self.progress.get("total")
            first = self.progress.get("first", 0.0)
            if done and total and done > first:
                return float(max(0.0, (now - self.since) / (done - first) * (total - done)))
        if self.expected is not None and self.started is not None:
            return max(0.0, self.expected - (now - self.started))
        return None


class Run(BaseModel):
    """A run of a pipeline.

    Attributes:
        name: of the recipe.
        recipe: its file, or its name if it comes with Punie.
        arguments: what the command line gave besides, for going on in the same way.
        pid: the process of the pipeline.
        used: when its outputs were last named, for clearing up.
        results: what came out at the end: the store's keys by step.
        searched: what a search found, a row for each choice of values.
    """

    model_config = ConfigDict(validate_assignment=True)

    name: str
    recipe: str
    arguments: list[str] = Field(default_factory=list)
    pid: int
    state: RunState = "running"
    sentence: str = ""
    started: float
    ended: float | None = None
    used: float
    steps: list[StepStatus] = Field(default_factory=list)
    results: dict[str, str] = Field(default_factory=dict)
    searched: list[dict[str, Any]] = Field(default_factory=list)

    def step(self, name: str) -> StepStatus:
        """Return a step by its name."""
        return next(step for step in self.steps if step.name == name)


def run_folder(store: Store, name: str) -> Path:
    """Return the folder of a run."""
    return store.runs / name


def output_file(store: Store, name: str) -> Path:
    """Return the file of what a run without a terminal said."""
    return run_folder(store, name) / _OUTPUT


def read_run(store: Store, name: str) -> Run:
    """Return a run, corrected if its process is gone without a word.

    Raises:
        TrainingError: there is none of that name.
    """
    file = run_folder(store, name) / _STATE
    try:
        run = Run.model_validate_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(run_names(store))
        cure = f"there are {known}" if known else "`punie pipeline run RECIPE` starts one"
        raise TrainingError(f"There is no pipeline {name!r} here; {cure}.") from None
    except (OSError, ValidationError) as error:
        raise TrainingError(
            f"{file} cannot be read; run the pipeline again, finished steps stay."
        ) from error
    if run.state == "running" and not is_running(store, name):
        run.state = "stopped"
        run.sentence = "It was killed, or the machine was restarted; run it again to go on."
        for step in run.steps:
            if step.state == "running":
                step.state, step.pid = "stopped", None
    return run


def run_names(store: Store) -> list[str]:
    """Return the names of all runs, the last one first."""
    found = [(file.stat().st_mtime, file.parent.name) for file in store.runs.glob(f"*/{_STATE}")]
    return [name for _, name in sorted(found, reverse=True)]


def write_run(store: Store, run: Run) -> None:
    """Write down how a run is.

    Raises:
        TrainingError: there is no room or no permission to write.
    """
    write_text(run_folder(store, run.name) / _STATE, run.model_dump_json(indent=1) + "\n")


def is_running(store: Store, name: str) -> bool:
    """Tell whether a process runs this pipeline."""
    return is_held(run_folder(store, name) / _LOCK)


@contextmanager
def only_run(store: Store, name: str) -> Iterator[None]:
    """Be the only process that runs this pipeline.

    Raises:
        TrainingError: another one does, or the folder cannot be written.
    """
    folder = run_folder(store, name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise TrainingError(written_in_words(error, folder)) from error
    try:
        _lock(handle, name)
        (folder / _STOP).unlink(missing_ok=True)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, name: str) -> None:
    # Whoever looks whether it runs holds the lock with others for a moment.
    deadline = time.monotonic() + 0.25
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TrainingError(
                    f"The pipeline {name} runs already; `punie pipeline status {name}` shows it."
                ) from None
            time.sleep(0.01)
        else:
            return


def ask_to_stop(store: Store, name: str) -> None:
    """Leave word that a run is to save and end. It is seen within a second."""
    write_text(run_folder(store, name) / _STOP, "")


def asked_to_stop(store: Store, name: str) -> bool:
    """Tell whether somebody left word."""
    return (run_folder(store, name) / _STOP).exists()
