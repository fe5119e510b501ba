"""Outputs of steps under a key that is made of what went in, so that nothing is done twice.

The store is a folder: `steps/KEY/` holds an output, its `record.json`, written last, and what its
processes said (`log`); `runs/NAME/` holds what the pipeline NAME did last.
"""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from punie.file_locks import is_held
from punie.training.errors import TrainingError
from punie.training.hashing import value_hash
from punie.training.output import write_text, written_in_words
from punie.training.pipeline.content import Hashes
from punie.training.pipeline.step import Artifact, Figure
from punie.training.waiting import locked

_RECORD = "record.json"
_ATTEMPTS = "attempts.jsonl"
_KEY_DIGITS = 24


class Record(BaseModel):
    """What a finished step was.

    Attributes:
        kind, version, options, inputs: what its key is made of; inputs as hashes by role.
        name: what it was called where it ran first.
        artifact: what came out, in a folder of that name.
        output: hash of its content.
        passed: of a gate, whether the next step may start.
        figures: what is worth knowing of it.
        started, ended: seconds since 1970.
        seconds: that it took, over all attempts; None if one of them ended without a word.
        attempts: how often its process was started.
        memory: bytes at the peak of its process.
        work: how much it did, in the unit of its kind; by this the time of others is expected.
        like: a hash of the shape of the model that it worked on, "" for none; models of another
            shape take another time.
        bytes: of the output.
        punie: version of Punie.
    """

    model_config = ConfigDict(frozen=True)

    kind: str
    version: int
    options: dict[str, Any]
    inputs: dict[str, list[str]]
    name: str
    artifact: Artifact
    output: str
    passed: bool | None = None
    figures: dict[str, Figure] = Field(default_factory=dict)
    started: float
    ended: float
    seconds: float | None
    attempts: int
    memory: int
    work: float | None = None
    like: str = ""
    bytes: int
    punie: str


def step_key(
    kind: str, version: int, options: Mapping[str, Any], inputs: Mapping[str, Sequence[str]]
) -> str:
    """Return the key of a step: equal for equal work on equal content."""
    parts = [kind, version, dict(options), {role: list(found) for role, found in inputs.items()}]
    return value_hash(parts)[:_KEY_DIGITS]


class Store:
    """A store in a folder, made when something is first put in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hashes = Hashes(folder)

    @property
    def runs(self) -> Path:
        """The folder of what pipelines did last, a folder for each by its name."""
        return self.folder / "runs"

    def step(self, key: str) -> Path:
        """Return the folder of a step."""
        return self.folder / "steps" / key

    def output(self, key: str, artifact: Artifact) -> Path:
        """Return where a step's output lies or will lie."""
        return self.step(key) / artifact

    def log(self, key: str) -> Path:
        """Return the file of what a step's processes said."""
        return self.step(key) / "log"

    def record(self, key: str) -> Record | None:
        """Return the record of a finished step whose output is there."""
        try:
            text = (self.step(key) / _RECORD).read_text(encoding="utf-8")
            found = Record.model_validate_json(text)
        except (OSError, ValidationError):
            return None
        return found if self.output(key, found.artifact).is_dir() else None

    def records(self) -> Iterator[tuple[str, Record]]:
        """Yield all finished steps."""
        for folder in sorted((self.folder / "steps").glob("*")):
            found = self.record(folder.name)
            if found is not None:
                yield folder.name, found

    def finish(self, key: str, record: Record) -> None:
        """Write a step's record, with which it is done; raise `TrainingError` if that fails."""
        write_text(self.step(key) / _RECORD, record.model_dump_json(indent=2) + "\n")

    def begin(self, key: str) -> None:
        """Note that a process starts on a step."""
        self._note(key, f'{{"started": {time.time()}}}\n')

    def pause(self, key: str) -> None:
        """Note that a process leaves a step, whatever became of it."""
        self._note(key, f'{{"ended": {time.time()}}}\n')

    def attempts(self, key: str) -> tuple[int, float | None]:
        """Return how many processes there were, and their seconds; None if one was killed."""
        try:
            lines = (self.step(key) / _ATTEMPTS).read_text(encoding="utf-8").splitlines()
        except OSError:
            return 0, None
        count, seconds, since, lost = 0, 0.0, None, False
        for line in lines:
            word, _, number = line.strip("{}").partition(": ")
            try:
                at = float(number)
            except ValueError:
                continue
            if word == '"started"':
                count += 1
                lost = lost or since is not None
                since = at
            elif since is not None:
                seconds += at - since
                since = None
        return count, None if lost or since is not None else seconds

    def forget(self, key: str) -> None:
        """Let a step be done anew; its output goes, what an unfinished one saved as well."""
        folder = self.step(key)
        with suppress(FileNotFoundError):
            (folder / _RECORD).unlink()
        if folder.is_dir():
            for inside in folder.iterdir():
                if inside.is_dir():
                    shutil.rmtree(inside, ignore_errors=True)

    def remove(self, key: str) -> bool:
        """Delete a step and all of it; False if a process works on it."""
        try:
            with self.locked(key, wait=False):
                folder = self.step(key)
                with suppress(FileNotFoundError):
                    (folder / _RECORD).unlink()  # First: what is left over is no output.
                shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            return False
        self._lock(key).unlink(missing_ok=True)
        return True

    def is_busy(self, key: str) -> bool:
        """Tell whether a process works on a step."""
        return is_held(self._lock(key))

    def locked(self, key: str, *, wait: bool = True) -> AbstractContextManager[int]:
        """Be the only process on a step; the lock ends with the process, however that ends.

        Raises:
            BlockingIOError: another one has it and `wait` is False.
            TrainingError: there is no room or no permission to write.
        """
        return locked(self._lock(key), wait=wait)

    def all_keys(self) -> list[str]:
        """Return the keys of all steps that were begun."""
        return sorted(folder.name for folder in (self.folder / "steps").glob("*"))

    def _lock(self, key: str) -> Path:
        return self.folder / "locks" / key

    def _note(self, key: str, line: str) -> None:
        file = self.step(key) / _ATTEMPTS
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a", encoding="utf-8") as out:
                out.write(line)
        except OSError as error:
            raise TrainingError(written_in_words(error, file)) from error


def folder_bytes(folder: Path) -> int:
    """Return the size of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
