"""The results of a run that is under way, on disk, so that it can go on after anything."""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from punie.evaluation.errors import EvaluationError
from punie.evaluation.results import RESULTS, Result, result_line
from punie.evaluation.run_options import Attempt
from punie.evaluation.run_record import RUN, RunRecord, ended_run, read_run, write_run
from punie.training.output import written_in_words


class Kept:
    """Results by their attempts; with a folder each is on disk as soon as it is known."""

    def __init__(self, record: RunRecord, folder: Path | None, found: Sequence[Result]) -> None:
        self.results = {attempt_of(result): result for result in found}
        self._record = record
        self.folder = folder
        self._begun = time.monotonic()

    @classmethod
    def open(cls, folder: Path | None, record: RunRecord, attempts: Sequence[Attempt]) -> "Kept":
        """Take up what is in the folder.

        Raises:
            EvaluationError: it holds a run of another model, other suites or other options, or
                cannot be read or written.
        """
        if folder is None:
            return cls(record, None, ())
        file, found = folder / RESULTS, []
        if (folder / RUN).exists():
            before = read_run(folder)
            if _identity(before) != _identity(record):
                raise EvaluationError(
                    f"{folder} holds an unfinished run of another model, other suites or other "
                    "options; name another folder for this one, or remove that."
                )
            record = before
        try:
            if file.exists():
                wanted = set(attempts)
                found = [each for each in _whole_lines(file) if attempt_of(each) in wanted]
            file.write_text("".join(map(result_line, found)), encoding="utf-8")
        except OSError as error:
            raise EvaluationError(written_in_words(error, file)) from error
        write_run(folder, record)
        return cls(record, folder, found)

    def add(self, result: Result) -> None:
        """Keep one more; raises `OSError` if it cannot be written."""
        if self.folder is not None:
            with (self.folder / RESULTS).open("a", encoding="utf-8") as out:
                out.write(result_line(result))
        self.results[attempt_of(result)] = result

    @property
    def solved(self) -> float:
        """The share that was solved so far."""
        return sum(r.solved.strict for r in self.results.values()) / max(1, len(self.results))

    def pause(self) -> None:
        """Note how long the run has worked, before it ends unfinished."""
        if self.folder is not None:
            with suppress(EvaluationError):  # Why it ends is told already.
                write_run(self.folder, self._record.model_copy(update={"seconds": self._seconds}))

    def finish(self, attempts: Sequence[Attempt], peak_memory: int | None) -> list[Result]:
        """Return the results in the order of the attempts, and leave the run complete.

        Raises:
            EvaluationError: the folder cannot be written.
        """
        ordered = [self.results[attempt] for attempt in attempts]
        if self.folder is not None:
            file = self.folder / RESULTS
            unfinished = file.with_name(f".{RESULTS}")
            try:
                unfinished.write_text("".join(map(result_line, ordered)), encoding="utf-8")
                unfinished.replace(file)
            except OSError as error:
                raise EvaluationError(written_in_words(error, file)) from error
            done = ended_run(self._record, ordered, self._seconds, peak_memory)
            write_run(self.folder, done)
        return ordered

    @property
    def _seconds(self) -> float:
        return self._record.seconds + time.monotonic() - self._begun


def attempt_of(result: Result) -> Attempt:
    """Return which attempt a result is of."""
    return Attempt(result.suite, result.item, result.seed, result.attempt)


def _identity(record: RunRecord) -> object:
    """Return what two runs must have in common for their results to be of one run."""
    options = {name: value for name, value in record.options.items() if name != "parallel"}
    model = record.model.weights or record.model.reference
    return model, record.suites, options, record.punie


def _whole_lines(file: Path) -> Iterator[Result]:
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            yield Result.model_validate_json(line)
        except ValidationError:
            return  # The last one was cut when the process ended.
