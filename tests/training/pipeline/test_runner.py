import json
import os
import resource
import signal
import threading
from pathlib import Path

import pytest

from punie.models.provenance import read_provenance
from punie.training.data.dataset import Manifest, write_dataset
from punie.training.data.example import Example
from punie.training.errors import TrainingError
from punie.training.hashing import folder_hash
from punie.training.pipeline.runs import Run, StepStatus, read_run, run_names
from punie.training.pipeline.store import Store
from punie.training.progress import Interrupted, Progress
from tests.training.pipeline.conftest import RECIPE, build, run_bare
from tests.training.sample_conversations import conversations, write_data

ONE = RECIPE.split("\n[steps.packed]")[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_data(tmp_path / "data", 8, 2)
    return tmp_path


def states(steps: list[StepStatus]) -> list[str]:
    return [step.state for step in steps]


def test_nothing_is_done_twice_and_a_change_reaches_all_that_depends_on_it(folder: Path) -> None:
    heard: list[Progress] = []
    first = run_bare(folder, build(folder), told=lambda _, one: heard.append(one))
    again = run_bare(folder, build(folder))
    other_bits = run_bare(folder, build(folder, values={"packed.bits": 8}))
    other_steps = run_bare(folder, build(folder, values={"base.steps": 3}))

    assert states(first.steps) == ["done", "done"]
    assert states(again.steps) == ["reused", "reused"]
    assert states(other_bits.steps) == ["reused", "done"]
    assert states(other_steps.steps) == ["done", "done"]
    store = Store(folder / "store")
    assert {record.attempts for _, record in store.records()} == {1}
    assert len(store.all_keys()) == 5
    assert any(found.doing.startswith("1/2 base: ") and found.unit == "steps" for found in heard)
    base, packed = (store.record(step.key or "") for step in first.steps)
    assert base is not None
    assert packed is not None
    assert packed.inputs["model"] == [base.output]
    assert (packed.kind, packed.artifact, packed.options["bits"]) == ("quantize", "model", 4)
    assert packed.seconds is not None
    assert packed.memory > 10_000_000
    made = read_provenance(store.output(first.steps[1].key or "", "model"))
    assert made is not None
    assert made.made_by == "quantize"


def test_equal_content_elsewhere_is_no_other_work_and_other_content_is(
    folder: Path, tmp_path: Path
) -> None:
    run_bare(folder, build(folder, ONE))

    (folder / "data").rename(folder / "moved")
    moved = run_bare(folder, build(folder, ONE.replace('"data"', '"moved"')))
    parts = {"train": [Example.model_validate({"messages": one}) for one in conversations(5, 9)]}
    write_dataset(folder / "data", Manifest(made_by="sample"), parts)
    other = run_bare(folder, build(folder, ONE))

    assert (states(moved.steps), states(other.steps)) == (["reused"], ["done"])


def test_a_dataset_that_was_changed_by_hand_is_refused(folder: Path) -> None:
    with (folder / "data" / "train.jsonl").open("a") as file:
        file.write("{}\n")

    with pytest.raises(TrainingError, match=r"train.jsonl is not what dataset.json says"):
        run_bare(folder, build(folder))


def test_a_step_that_is_killed_is_told_and_done_again_and_finished_ones_are_not(
    folder: Path,
) -> None:
    graph = build(folder)

    def kill(run: Run, progress: Progress) -> None:
        pid = run.steps[1].pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)

    with pytest.raises(TrainingError) as crash:
        run_bare(folder, graph, told=kill)
    run = run_bare(folder, graph)

    assert "The process of packed was killed (SIGKILL)" in str(crash.value)
    assert "Run the pipeline again to go on." in str(crash.value)
    assert states(run.steps) == ["reused", "done"]
    store = Store(folder / "store")
    assert [store.attempts(step.key or "")[0] for step in run.steps] == [1, 2]
    killed = store.record(run.steps[1].key or "")
    assert killed is not None
    assert killed.seconds is None
    (folder / "store").rename(folder / "other")
    assert folder_hash(folder / "other" / "steps" / (run.steps[1].key or "") / "model") == (
        folder_hash(
            Store(folder / "store").output(run_bare(folder, graph).steps[1].key or "", "model")
        )
    )


def test_a_step_that_is_asked_to_stop_saves_and_goes_on(folder: Path) -> None:
    graph = build(folder, ONE, values={"base.steps": 400, "base.validation_steps": 400})
    heard: list[Progress] = []

    def enough() -> bool:
        return any(found.unit == "steps" and "training" in found.doing for found in heard)

    with pytest.raises(Interrupted):
        run_bare(folder, graph, stopped=enough, told=lambda _, one: heard.append(one))
    store = Store(folder / "store")
    key, *_ = store.all_keys()

    assert (store.step(key) / ".model.unfinished" / "checkpoint.safetensors").is_file()
    assert store.record(key) is None
    assert read_run(store, run_names(store)[0]).steps[0].state == "stopped"


def test_what_fails_is_one_sentence_and_nothing_is_half_there(folder: Path) -> None:
    text = (
        RECIPE.replace("tokens = 512\n", "tokens = 512\nwindow = 64\n")
        + '\n[steps.other]\nkind = "quantize"\n'
    )
    text += 'model = "punie-tiny"\n'

    with pytest.raises(TrainingError, match=r"^base: No conversation of .* fits a window of 64"):
        run_bare(folder, build(folder, text))
    kept = run_bare(folder, build(folder, text), keep_going=True)

    assert states(kept.steps) == ["failed", "skipped", "done"]
    assert kept.steps[1].sentence == "It needs base."
    key = kept.steps[0].key or ""
    assert not (Store(folder / "store").step(key) / "model").exists()


def test_a_disk_without_room_is_told_and_the_step_goes_on_later(folder: Path) -> None:
    graph = build(folder)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limit[1]))
    try:
        with pytest.raises(TrainingError, match=r"cannot be written|The disk is full"):
            run_bare(folder, graph)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)

    assert states(run_bare(folder, graph).steps) == ["done", "done"]


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
    assert ended == ["done", "done"]
    assert [record.attempts for _, record in store.records()] == [1]


def test_an_output_without_its_record_is_taken_as_it_is(folder: Path) -> None:
    run = run_bare(folder, build(folder, ONE))
    key = run.steps[0].key or ""
    store = Store(folder / "store")
    before = folder_hash(store.output(key, "model"))
    (store.step(key) / "record.json").unlink()

    again = run_bare(folder, build(folder, ONE))

    assert states(again.steps) == ["done"]
    assert folder_hash(store.output(key, "model")) == before
    assert store.attempts(key)[0] == 1
    assert json.loads((store.step(key) / "record.json").read_text())["attempts"] == 1
