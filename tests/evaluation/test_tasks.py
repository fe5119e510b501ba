"""The bundled model at work on held-out tasks, several at a time."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from punie.evaluation.errors import EvaluationError
from punie.evaluation.held_out import held_out_task
from punie.evaluation.results import RESULTS, Result
from punie.evaluation.run_record import RUN, read_run
from punie.evaluation.suites.generated import GENERATED_CODER, GENERATED_TINY, GeneratedSuite
from punie.evaluation.tasks import TaskOptions, evaluate_tasks, read_tasks
from punie.models.catalog import BUNDLED_ID
from punie.training.errors import TrainingError
from punie.training.hashing import value_hash
from punie.training.progress import Interrupted, Progress

FEW = TaskOptions(count=8, seed=5, families=("read", "search", "beyond", "list", "set"))


def alike(results: Sequence[Result]) -> list[dict[str, Any]]:
    return [result.trajectory for result in results]


@pytest.fixture(scope="module")
def alone() -> list[Result]:
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


def test_sessions_at_a_time_change_nothing(alone: list[Result], tmp_path: Path) -> None:
    """Not a word of any conversation, also where an evaluation is stopped and begun again."""
    assert [outcome.item for outcome in alone] == [f"known/{number:04}" for number in range(8)]
    assert sum(outcome.check("tool").strict for outcome in alone) >= 4
    assert all(outcome.stop == "end_turn" and not outcome.trouble for outcome in alone)
    assert any(outcome.calls and outcome.requests > 1 for outcome in alone)

    out = tmp_path / "evaluation"
    report, stopped = stop_after(3)
    with pytest.raises(Interrupted, match=r"of 8 items; the same command"):
        evaluate_tasks(BUNDLED_ID, FEW.model_copy(update={"parallel": 2}), out, report, stopped)
    assert not out.exists()
    kept = tmp_path / ".evaluation.unfinished" / RESULTS
    before = kept.read_text()
    kept.write_text(before + before.splitlines()[0][:40])
    seen: list[Progress] = []
    options = FEW.model_copy(update={"parallel": 4})
    outcomes = evaluate_tasks(BUNDLED_ID, options, out, seen.append)
    assert seen[0].done == before.count("\n") > 0
    assert alike(outcomes) == alike(alone)
    assert read_tasks(out) == outcomes
    assert read_run(out).suites[0].items == 8
    assert sorted(path.name for path in out.iterdir()) == [RESULTS, RUN]


def test_other_tasks_are_another_evaluation(tmp_path: Path) -> None:
    out = tmp_path / "evaluation"
    report, stopped = stop_after(1)
    one = FEW.model_copy(update={"count": 2, "parallel": 1})
    with pytest.raises(Interrupted):
        evaluate_tasks(BUNDLED_ID, one, out, report, stopped)
    with pytest.raises(EvaluationError, match="unfinished run"):
        evaluate_tasks(BUNDLED_ID, one.model_copy(update={"seed": 6}), out)


def test_attempts_differ_and_can_be_repeated() -> None:
    options = TaskOptions(count=1, seed=4, families=("write",), attempts=3, temperature=2.0)
    tries = evaluate_tasks(BUNDLED_ID, options)
    assert [outcome.attempt for outcome in tries] == [0, 1, 2]
    assert any(outcome.messages != tries[0].messages for outcome in tries)
    again = evaluate_tasks(BUNDLED_ID, options.model_copy(update={"parallel": 2}))
    assert alike(again) == alike(tries)


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no model directory"):
        evaluate_tasks(tmp_path / "none", FEW, tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("suite", "known"),
    [(GENERATED_TINY, "887c2466448b20bf"), (GENERATED_CODER, "c1d090cb34050575")],
)
def test_tasks_of_a_version_stay(suite: GeneratedSuite, known: str) -> None:
    """Where this fails the generator makes other tasks, and the suite is a new version."""
    some = [held_out_task(number, part) for part in suite.parts for number in range(0, 100, 9)]
    told = [[task.prompt, dict(task.project.files)] for task in some]
    assert (suite.version, value_hash(told)[:16]) == (2, known)
