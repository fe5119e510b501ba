"""Reads a run and writes its page."""

from pathlib import Path

from punie.evaluation.errors import EvaluationError
from punie.evaluation.report.page import Run, report_page
from punie.evaluation.results import RESULTS, read_results
from punie.evaluation.run_record import read_run
from punie.training.errors import TrainingError
from punie.training.output import write_text

REPORT = "report.html"


def write_report(folder: Path, baseline: Path | None = None) -> Path:
    """Write `report.html` into a run's folder, and return it.

    With a `baseline`, the folder of another run, it also tells what changed since.

    Raises:
        EvaluationError: a folder holds no run, the runs cannot be compared, or the page cannot be
            written.
    """
    run = _read(folder)
    text = report_page(run, None if baseline is None else _read(baseline))
    file = folder / REPORT
    try:
        write_text(file, text)
    except TrainingError as error:
        raise EvaluationError(str(error)) from error
    return file


def _read(folder: Path) -> Run:
    record = read_run(folder)
    return Run(record, read_results(folder / RESULTS))
