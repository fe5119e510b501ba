import subprocess
import sys
from pathlib import Path

import pytest

from punie.evaluation.baseline import keep_baseline
from punie.evaluation.errors import EvaluationError
from punie.evaluation.run_record import write_run
from punie.evaluation.tracker.reported import read_reported
from punie.evaluation.tracker.store import ALL_KINDS, Measure, ScoreKey, Tracker, record_run
from tests.evaluation.tracker.made_runs import (
    made_record,
    made_results,
    suites,
    write_made_run,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "evaluation.sqlite3"


def _added(tracker: Tracker, number: int, right: list[bool], **other: object) -> None:
    tracker.add(made_record(number, **other), made_results("edits", right))


def test_a_run_is_kept_with_its_scores_and_outcomes_but_not_its_conversations(
    tmp_path: Path, file: Path
) -> None:
    results = made_results("edits", [True, False, True, True])
    folder = write_made_run(tmp_path / "run", made_record(), results)
    assert record_run(folder, file)
    assert not record_run(folder, file)  # The same run again takes its own place.
    tracker = Tracker(file)
    (run,) = tracker.runs()
    assert run.record.model == made_record().model
    assert run.record.latency is not None
    assert (run.solved("edits").strict.hits, run.solved("edits").strict.of) == (3, 4)
    assert run.scores[ScoreKey("edits", "kind 1", "solved")].strict.hits == 1
    assert run.scores[ScoreKey("edits", ALL_KINDS, "solved")].soft.hits == 4
    kept = tracker.results(run.record.id)
    assert [each.solved for each in kept] == [each.solved for each in results]
    assert [each.verdict.note for each in kept] == [each.verdict.note for each in results]
    assert all(each.messages == () and each.verdict.due is None for each in kept)
    assert tracker.measures(run.record.id) == [Measure("edits", "recall", 0.5, 0.5, 0.5, 4)]
    tracker.close()


def test_a_baseline_is_a_run_that_lacks_nothing_here(tmp_path: Path, file: Path) -> None:
    folder = write_made_run(tmp_path / "run", made_record(), made_results("edits", [True, False]))
    keep_baseline(folder, tmp_path / "kept")
    found = []
    for each in (folder, tmp_path / "kept"):
        record_run(each, file)
        tracker = Tracker(file)
        run = tracker.run("last")
        found.append((run, tracker.results(run.record.id), tracker.measures(run.record.id)))
        tracker.close()
    assert found[0] == found[1]


def test_runs_are_named_by_id_by_its_beginning_by_model_and_as_the_last(file: Path) -> None:
    tracker = Tracker(file)
    with pytest.raises(EvaluationError, match="There is no run 'last'"):
        tracker.run("last")
    other = made_record(2).model.model_copy(update={"reference": "org/other"})
    for number in (1, 3):
        _added(tracker, number, [True])
    _added(tracker, 2, [False], model=other)
    for name, number in (
        ("last", 3),
        ("punie-tiny", 3),
        ("org/other", 2),
        ("20261101", 1),
        ("0a02", 2),
        (made_record(1).id, 1),
    ):
        assert tracker.run(name).record.id == made_record(number).id
    assert [run.record.id for run in tracker.runs()] == [made_record(n).id for n in (3, 2, 1)]
    assert [run.record.id for run in tracker.runs(["org/other"])] == [made_record(2).id]
    with pytest.raises(EvaluationError, match=r"'2026' fits 3 runs .* write more of it\."):
        tracker.run("2026")
    for unknown in ("", "%", "20261109", "org/ot"):
        with pytest.raises(EvaluationError, match="There is no run"):
            tracker.run(unknown)
    tracker.close()


def test_a_run_that_is_removed_takes_everything_with_it(file: Path) -> None:
    tracker = Tracker(file)
    _added(tracker, 1, [True])
    _added(tracker, 2, [False])
    tracker.remove(made_record(1).id)
    assert [run.record.id for run in tracker.runs()] == [made_record(2).id]
    assert tracker.results(made_record(1).id) == []
    tracker.close()


def test_what_does_not_belong_together_is_refused_and_nothing_is_kept(file: Path) -> None:
    tracker = Tracker(file)
    twice = made_results("edits", [True]) * 2
    for record, results, told in (
        (made_record(), made_results("other", [True]), "'other', which its record does not name"),
        (made_record(), twice, "two results of edits item/000"),
        (made_record(suites=suites({"edits": 1}) * 2), [], "names a suite twice"),
    ):
        with pytest.raises(EvaluationError, match=told):
            tracker.add(record, results)
    assert tracker.runs() == []
    tracker.close()


def test_an_incomplete_run_is_refused(tmp_path: Path, file: Path) -> None:
    write_run(tmp_path, made_record())
    with pytest.raises(EvaluationError, match="is not complete; the same `punie eval`"):
        record_run(tmp_path, file)


def test_reported_rows_are_apart_from_runs_and_replaced_by_source(file: Path) -> None:
    tracker = Tracker(file)
    rows = read_reported()
    tracker.import_reported(rows)
    tracker.import_reported(rows)
    mine = rows[0].model_copy(update={"source": "elsewhere"})
    tracker.import_reported([mine])
    assert tracker.reported() == [mine, *rows]
    assert tracker.runs() == []
    tracker.close()


def test_a_damaged_file_is_set_aside_and_begun_anew(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"not a database" * 100)
    tracker = Tracker(file)
    with pytest.raises(EvaluationError, match=r"The tracker was damaged; .*corrupt-1"):
        tracker.runs()
    _added(tracker, 1, [True])
    assert len(tracker.runs()) == 1
    tracker.close()


ADDING = """
import sys
from pathlib import Path
from punie.evaluation.tracker.store import Tracker
from tests.evaluation.tracker.made_runs import made_record, made_results

tracker = Tracker(Path(sys.argv[1]))
for number in range(int(sys.argv[2]), int(sys.argv[2]) + 10):
    tracker.add(made_record(number), made_results("edits", [True] * 30))
    tracker.runs()
"""


def test_two_processes_share_the_file(file: Path) -> None:
    started = [
        subprocess.Popen([sys.executable, "-c", ADDING, str(file), first], text=True)
        for first in ("1", "11")
    ]
    assert [process.wait(timeout=60) for process in started] == [0, 0]
    tracker = Tracker(file)
    assert len(tracker.runs()) == 20
    assert all(len(tracker.results(run.record.id)) == 30 for run in tracker.runs())
    tracker.close()
