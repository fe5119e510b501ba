import time
from pathlib import Path
from typing import Any

import pytest

from punie.evaluation.intervals import rate
from punie.training.pipeline.runs import Run, StepStatus, read_run, write_run
from punie.training.pipeline.status import search_table, seconds_left, status_json, status_lines
from punie.training.pipeline.step import Figure, share
from punie.training.pipeline.store import Store


def running(**changes: object) -> StepStatus:
    now = time.time()
    step = StepStatus(
        name="adapter",
        kind="tune",
        makes="adapter",
        state="running",
        started=now - 30,
        since=now - 20,
        pid=4711,
        memory=3_000_000_000,
        progress={
            "doing": "training", "done": 60.0, "total": 100.0, "unit": "steps", "first": 20.0,
            "metrics": {"loss": 1.23456},
        },
    )  # fmt: skip
    return step.model_copy(update=changes)


def a_run(*steps: StepStatus) -> Run:
    now = time.time()
    return Run(name="r", recipe="r.toml", pid=99, started=now, used=now, steps=list(steps))


def test_a_step_that_runs_tells_process_progress_rate_time_left_and_memory(tmp_path: Path) -> None:
    step = running()
    waiting = StepStatus(name="whole", kind="fuse", makes="model", expected=100.0)
    lines = status_lines(Store(tmp_path), a_run(step, waiting))

    # Forty steps in twenty seconds, and forty to go.
    assert step.seconds_left == pytest.approx(20, abs=1)
    assert lines[0] == "r: running, 0 of 2 steps, about 2 min left (process 99)"
    assert "training 60 of 100 steps (60%), " in lines[1]
    assert " steps/s, loss 1.235, for 30 s, " in lines[1]
    assert "process 4711; needs about 3.0 GB of memory, " in lines[1]
    assert lines[2].startswith("  waiting  whole")


def test_the_time_left_is_unknown_where_one_step_s_time_is(tmp_path: Path) -> None:
    unknown = StepStatus(name="whole", kind="fuse", makes="model")

    assert seconds_left(a_run(running(), unknown)) is None
    told = status_lines(Store(tmp_path), a_run(running(), unknown))
    assert told[0] == "r: running, 0 of 2 steps, more than 20 s left (process 99)"
    told = status_lines(Store(tmp_path), a_run(running(progress=None), unknown))
    assert told[0].endswith("unknown time left (process 99)")
    assert running(progress=None, expected=40.0).seconds_left == pytest.approx(10, abs=1)
    assert running(progress=None).seconds_left is None
    assert status_json(Store(tmp_path), a_run(running()))["steps"][0]["pid"] == 4711


def test_a_run_whose_process_is_gone_is_stopped(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (store.runs / "r").mkdir(parents=True)
    write_run(store, a_run(running()))

    found = read_run(store, "r")

    assert (found.state, found.steps[0].state) == ("stopped", "stopped")
    assert "run it again to go on" in found.sentence


def test_figures_and_tables() -> None:
    assert str(Figure(value=3.0, unit="examples")) == "3 examples"
    assert str(Figure(value=1.23456, low=1.0, high=2.0)) == "1.235 (1 to 2)"
    assert str(share(rate(3, 4))) == "75.0% (30.1% to 95.4%)"
    rows: list[dict[str, Any]] = [
        {"a.b": "1", "c": "50 %"},
        {"a.b": "22", "c": "70 %", "best": True},
    ]
    assert search_table(rows) == ["  a.b  c", "  1    50 %", "* 22   70 %"]
