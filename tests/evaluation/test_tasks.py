"""The bundled model at work on held-out tasks, several at a time."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from punie.evaluation import tasks
from punie.evaluation.held_out import held_out_task
from punie.evaluation.outcomes import Outcome
from punie.evaluation.tasks import (
    OUTCOMES,
    SUMMARY,
    Summary,
    TaskOptions,
    evaluate_tasks,
    read_outcomes,
)
from punie.models.catalog import BUNDLED_ID
from punie.training.errors import TrainingError
from punie.training.progress import Interrupted, Progress

FEW = TaskOptions(count=8, seed=5, families=("read", "search", "beyond", "list", "set"))


def comparable(outcomes: list[Outcome]) -> list[Outcome]:
    return [outcome.model_copy(update={"messages": ()}) for outcome in outcomes]


@pytest.fixture(scope="module")
def alone() -> list[Outcome]:
    return evaluate_tasks(BUNDLED_ID, FEW.model_copy(update={"parallel": 1}))


def stop_after(tasks: int) -> tuple[Callable[[Progress], None], Callable[[], bool]]:
    seen: list[float] = []
    return lambda progress: seen.append(progress.done), lambda: bool(seen) and seen[-1] >= tasks


def test_tasks_depend_on_seed_and_number_alone() -> None:
    some = [held_out_task(number, TaskOptions(seed=1)) for number in range(12)]
    again = held_out_task(7, TaskOptions(seed=1, count=900, attempts=2, temperature=1, parallel=3))
    assert (again.prompt, again.project.files) == (some[7].prompt, some[7].project.files)
    assert len({task.prompt for task in some}) == 12
    assert held_out_task(7, TaskOptions(seed=2)).prompt != some[7].prompt
    only = TaskOptions(families=("write",))
    assert {held_out_task(number, only).task.kind for number in range(5)} == {"write"}
    direct = TaskOptions(direct=True)
    assert {held_out_task(number, direct).task.kind for number in range(5)} == {"chat"}
    with pytest.raises(TrainingError, match="no family of tasks 'sing'"):
        held_out_task(0, TaskOptions(families=("sing",)))
    with pytest.raises(TrainingError, match="No family of tasks is left"):
        held_out_task(0, TaskOptions(families=("write",), direct=True))
    with pytest.raises(TrainingError, match="no preset"):
        held_out_task(0, TaskOptions(preset="opera"))


def test_tasks_for_real_models_can_be_drawn_in_both_ways() -> None:
    options = TaskOptions(preset="coder", seed=2)
    some = [held_out_task(number, options) for number in range(30)]
    assert {task.task.code for task in some} == {True, False}
    # Families that ask about turns before have nothing to ask about here.
    direct = options.model_copy(update={"direct": True, "families": ("recall", "concept")})
    assert all("recall" not in held_out_task(number, direct).task.kind for number in range(5))
    with pytest.raises(TrainingError, match="No project has"):
        held_out_task(0, options.model_copy(update={"families": ("recall",)}))


def test_attempts_need_a_temperature() -> None:
    with pytest.raises(ValidationError, match="all the same"):
        TaskOptions(attempts=2)


def test_sessions_at_a_time_change_nothing(alone: list[Outcome], tmp_path: Path) -> None:
    """Outcomes are kept as they come, also where an evaluation is stopped and begun again."""
    assert [outcome.number for outcome in alone] == list(range(8))
    assert sum(outcome.tool for outcome in alone) >= 4
    assert all(outcome.stop == "end_turn" and not outcome.trouble for outcome in alone)
    assert any(outcome.calls and outcome.requests > 1 for outcome in alone)

    out = tmp_path / "evaluation"
    report, stopped = stop_after(3)
    with pytest.raises(Interrupted, match=r"of 8 tasks; the same command"):
        evaluate_tasks(BUNDLED_ID, FEW.model_copy(update={"parallel": 2}), out, report, stopped)
    assert not out.exists()
    kept = tmp_path / ".evaluation.unfinished" / OUTCOMES
    before = kept.read_text()
    kept.write_text(before + before.splitlines()[0][:40])
    seen: list[Progress] = []
    options = FEW.model_copy(update={"parallel": 4})
    outcomes = evaluate_tasks(BUNDLED_ID, options, out, seen.append)
    assert seen[0].done == before.count("\n") > 0
    assert comparable(outcomes) == comparable(alone)
    assert read_outcomes(out) == outcomes
    summary = Summary.model_validate_json((out / SUMMARY).read_text())
    assert summary.options == options
    assert summary.scores["all_tasks_solved"]["of"] == 8
    assert sorted(path.name for path in out.iterdir()) == [SUMMARY, OUTCOMES]


def test_other_tasks_begin_anew(tmp_path: Path) -> None:
    out = tmp_path / "evaluation"
    report, stopped = stop_after(1)
    one = FEW.model_copy(update={"count": 2, "parallel": 1})
    with pytest.raises(Interrupted):
        evaluate_tasks(BUNDLED_ID, one, out, report, stopped)
    seen: list[Progress] = []
    evaluate_tasks(BUNDLED_ID, one.model_copy(update={"count": 1, "seed": 6}), out, seen.append)
    assert [progress.done for progress in seen] == [0, 1]


def test_attempts_differ_and_can_be_repeated() -> None:
    options = TaskOptions(count=1, seed=4, families=("write",), attempts=3, temperature=2.0)
    tries = evaluate_tasks(BUNDLED_ID, options)
    assert [outcome.attempt for outcome in tries] == [0, 1, 2]
    assert any(outcome.messages != tries[0].messages for outcome in tries)
    assert evaluate_tasks(BUNDLED_ID, options.model_copy(update={"parallel": 2})) == tries


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no model directory"):
        evaluate_tasks(tmp_path / "none", FEW, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "evaluation"
    options = FEW.model_copy(update={"count": 3, "parallel": 2})

    def full(kept: tasks.Kept, outcome: Outcome) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(tasks.Kept, "add", full)
        with pytest.raises(TrainingError, match="The disk is full"):
            evaluate_tasks(BUNDLED_ID, options, out)
    assert not out.exists()
    assert len(evaluate_tasks(BUNDLED_ID, options, out)) == 3
