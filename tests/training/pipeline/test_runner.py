import os
import resource
import signal
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from punie.training.data.dataset import Manifest, open_dataset, write_dataset
from punie.training.data.example import Example
from punie.training.errors import TrainingError
from punie.training.hashing import folder_hash
from punie.training.pipeline.runs import Run, StepStatus, read_run, run_names
from punie.training.pipeline.store import Store
from punie.training.progress import Interrupted, Progress, never, quiet
from punie.training.waiting import whole_machine
from tests.training.pipeline.conftest import RECIPE, build, run_bare
from tests.training.sample_conversations import conversations, write_data

DATA = """\
name = "small"

[steps.both]
kind = "merge"
datasets = ["data", "more"]

[steps.parts]
kind = "split"
dataset = "@both"
shares = { train = 0.5, valid = 0.5 }
near = 1.0
most_leaks = 100
"""
ONE = DATA.split("\n[steps.parts]")[0]
TRAINED = ONE + RECIPE.split('name = "small"')[1].split("[steps.packed]")[0].replace(
    'dataset = "data"', 'dataset = "@both"'
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_data(tmp_path / "data", 8, 2)
    write_data(tmp_path / "more", 12, 2)
    return tmp_path


def states(steps: list[StepStatus]) -> list[str]:
    return [step.state for step in steps]


def test_nothing_is_done_twice_and_a_change_reaches_what_depends_on_it(folder: Path) -> None:
    heard: list[Progress] = []
    first = run_bare(folder, build(folder, DATA), told=lambda _, one: heard.append(one))
    again = run_bare(folder, build(folder, DATA))
    other_split = run_bare(folder, build(folder, DATA, values={"parts.seed": 2}))
    other_merge = run_bare(folder, build(folder, DATA, values={"both.limits": [3, 3]}))
    same_content = run_bare(folder, build(folder, DATA, values={"both.limits": [99, 99]}))

    assert states(first.steps) == ["done", "done"]
    assert states(again.steps) == ["reused", "reused"]
    assert states(other_split.steps) == ["reused", "done"]
    assert states(other_merge.steps) == ["done", "done"]
    assert states(same_content.steps) == ["done", "reused"]
    store = Store(folder / "store")
    assert {record.attempts for _, record in store.records()} == {1}
    assert len(store.all_keys()) == 6
    assert any(found.doing.startswith("1/2 both: ") for found in heard)
    both, parts = (store.record(step.key or "") for step in first.steps)
    assert both is not None
    assert parts is not None
    assert parts.inputs == {"dataset": [both.output]}
    assert (parts.kind, parts.artifact, parts.options["near"]) == ("split", "dataset", 1.0)
    assert parts.seconds is not None
    assert parts.memory > 10_000_000
    assert (
        parts.figures["train"].value
        == open_dataset(store.output(first.steps[1].key or "", "dataset"))
        .manifest.parts["train"]
        .examples
    )


def test_equal_content_elsewhere_is_no_other_work_and_other_content_is(folder: Path) -> None:
    run_bare(folder, build(folder, ONE))

    (folder / "data").rename(folder / "moved")
    moved = run_bare(folder, build(folder, ONE.replace('"data"', '"moved"')))
    parts = {
        name: [Example.model_validate({"messages": one}) for one in conversations(5, seed)]
        for name, seed in (("train", 9), ("valid", 8))
    }
    write_dataset(folder / "data", Manifest(made_by="sample"), parts)
    other = run_bare(folder, build(folder, ONE))

    assert (states(moved.steps), states(other.steps)) == (["reused"], ["done"])


def test_a_dataset_that_was_changed_by_hand_is_refused(folder: Path) -> None:
    with (folder / "data" / "train.jsonl").open("a") as file:
        file.write("{}\n")

    with pytest.raises(TrainingError, match=r"train.jsonl is not what dataset.json says"):
        run_bare(folder, build(folder, DATA))


def test_a_step_that_is_killed_is_told_and_done_again_and_finished_ones_are_not(
    folder: Path,
) -> None:
    graph = build(folder, TRAINED, values={"base.steps": 6, "base.validation_steps": 6})

    def kill(run: Run, progress: Progress) -> None:
        if progress.unit == "steps":
            os.kill(run.steps[1].pid or os.getpid(), signal.SIGKILL)

    with pytest.raises(TrainingError) as crash:
        run_bare(folder, graph, told=kill)
    run = run_bare(folder, graph)

    assert "The process of base was killed (SIGKILL)" in str(crash.value)
    assert "Run the pipeline again to go on." in str(crash.value)
    assert states(run.steps) == ["reused", "done"]
    store = Store(folder / "store")
    assert [store.attempts(step.key or "")[0] for step in run.steps] == [1, 2]
    killed = store.record(run.steps[1].key or "")
    assert killed is not None
    assert killed.seconds is None
    (folder / "store").rename(folder / "other")
    whole = run_bare(folder, graph)
    assert states(whole.steps) == ["done", "done"]
    uninterrupted = Store(folder / "store").record(whole.steps[1].key or "")
    assert uninterrupted is not None
    assert uninterrupted.output == killed.output


def test_a_step_that_is_asked_to_stop_saves_and_goes_on(folder: Path) -> None:
    graph = build(folder, TRAINED, values={"base.steps": 4000, "base.validation_steps": 4000})
    heard: list[Progress] = []

    def enough() -> bool:
        return any("training" in found.doing for found in heard)

    with pytest.raises(Interrupted):
        run_bare(folder, graph, stopped=enough, told=lambda _, one: heard.append(one))
    store = Store(folder / "store")
    run = read_run(store, run_names(store)[0])
    key = run.steps[1].key or ""

    assert (store.step(key) / ".model.unfinished" / "checkpoint.safetensors").is_file()
    assert store.record(key) is None
    assert states(run.steps) == ["done", "stopped"]
    assert store.attempts(key)[1] is not None


def test_what_fails_is_one_sentence_and_nothing_is_half_there(folder: Path) -> None:
    text = DATA.replace("most_leaks = 100", "most_leaks = 0").replace(
        "near = 1.0", 'near = 0.01\nshared = "together"'
    )
    text += (
        DATA.split('name = "small"')[1].replace("steps.", "steps.other_").replace("@b", "@other_b")
    )

    with pytest.raises(TrainingError, match=r"^parts: "):
        run_bare(folder, build(folder, text))
    kept = run_bare(folder, build(folder, text), keep_going=True)

    assert states(kept.steps) == ["reused", "failed", "reused", "done"]
    assert kept.steps[1].sentence.startswith("parts: ")
    key = kept.steps[1].key or ""
    assert not (Store(folder / "store").step(key) / "dataset").exists()


def test_a_disk_without_room_is_told_and_the_step_goes_on_later(folder: Path) -> None:
    graph = build(folder, ONE)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, limit[1]))
    try:
        with pytest.raises(TrainingError, match=r"cannot be written|The disk is full"):
            run_bare(folder, graph)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)

    assert states(run_bare(folder, graph).steps) == ["done"]


def test_two_runs_at_once_do_a_step_once(folder: Path) -> None:
    graph = build(folder, ONE)
    ended: list[str] = []

    def go() -> None:
        ended.append(run_bare(folder, graph).steps[0].state)

    both = [threading.Thread(target=go) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()

    store = Store(folder / "store")
    assert set(ended) <= {"done", "reused"}
    assert [record.attempts for _, record in store.records()] == [1]


def test_who_waits_for_another_pipeline_can_be_stopped(folder: Path) -> None:
    graph = build(folder, ONE)
    store = Store(folder / "store")
    run_bare(folder, graph)
    (key,) = store.all_keys()
    store.forget(key)
    heard: list[Progress] = []

    with (
        store.locked(key),
        pytest.raises(Interrupted, match="waited for another pipeline that does the same"),
    ):
        run_bare(folder, graph, stopped=lambda: bool(heard), told=lambda _, one: heard.append(one))
    assert heard[0].doing == "1/1 both: waiting for another pipeline that does the same"


def test_a_training_waits_for_another_one_and_does_not_count_that(folder: Path) -> None:
    graph = build(folder, TRAINED)
    heard: list[str] = []

    with ExitStack() as other:
        other.enter_context(whole_machine(quiet, never))
        began = time.time()

        def told(run: Run, progress: Progress) -> None:
            heard.append(progress.doing)
            if progress.waits and time.time() > began + 2:
                other.close()

        run = run_bare(folder, graph, told=told)

    assert states(run.steps) == ["done", "done"]
    waited = f"2/2 base: waiting for process {os.getpid()}, which trains or converts a model"
    assert waited in heard
    assert heard.index(waited) < heard.index("2/2 base: training")
    (record,) = (each for _, each in Store(folder / "store").records() if each.kind == "pretrain")
    assert record.seconds is not None
    assert record.started > began + 2
    assert run.step("base").started == pytest.approx(record.started, abs=1)


def test_an_output_without_its_record_is_taken_as_it_is(folder: Path) -> None:
    run = run_bare(folder, build(folder, ONE))
    key = run.steps[0].key or ""
    store = Store(folder / "store")
    before = folder_hash(store.output(key, "dataset"))
    (store.step(key) / "record.json").unlink()

    again = run_bare(folder, build(folder, ONE))

    assert states(again.steps) == ["done"]
    assert folder_hash(store.output(key, "dataset")) == before
    assert store.attempts(key)[0] == 1
