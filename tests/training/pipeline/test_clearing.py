import json
import time
from pathlib import Path

import pytest

from punie.models.made import made_model, made_models, name_model
from punie.training.pipeline.clearing import unneeded
from punie.training.pipeline.runs import read_run, run_names, write_run
from punie.training.pipeline.store import Store

LINE = '{"started": 1.0}\n{"ended": 3.5}\n'


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with two steps, of which a run of forty days ago used the first."""
    store = Store(tmp_path / "store")
    for key in ("a" * 24, "b" * 24):
        output = store.output(key, "model")
        output.mkdir(parents=True)
        (output / "config.json").write_text("{}")
        store.begin(key)
        store.pause(key)
    folder = store.runs / "old"
    folder.mkdir(parents=True)
    used = time.time() - 40 * 86_400
    step = {"name": "base", "kind": "pretrain", "makes": "model", "key": "a" * 24, "state": "done"}
    run = {"name": "old", "recipe": "old", "pid": 1, "started": used, "used": used}
    (folder / "state.json").write_text(json.dumps({**run, "state": "done", "steps": [step]}))
    return store


def test_what_a_pipeline_used_lately_stays(store: Store) -> None:
    assert [one.key[0] for one in unneeded(store, 30)] == ["a", "b"]
    assert [one.key[0] for one in unneeded(store, 60)] == ["b"]
    run = read_run(store, run_names(store)[0])
    run.used = time.time()
    write_run(store, run)
    assert [one.key[0] for one in unneeded(store, 30)] == ["b"]


def test_what_has_a_name_or_is_in_use_stays(store: Store) -> None:
    name_model("mine", store.output("b" * 24, "model"))

    assert [one.key[0] for one in unneeded(store, 30)] == ["a"]
    assert unneeded(store, 30, (store.output("a" * 24, "model"),)) == []
    assert dict(made_models()) == {"mine": store.output("b" * 24, "model").resolve()}


def test_what_a_process_works_on_stays_and_cannot_be_removed(store: Store) -> None:
    with store.locked("a" * 24):
        assert [one.key[0] for one in unneeded(store, 30)] == ["b"]
        assert not store.remove("a" * 24)
    assert store.remove("a" * 24)
    assert store.all_keys() == ["b" * 24]


def test_a_name_whose_model_is_gone_is_none(store: Store) -> None:
    name_model("mine", store.output("b" * 24, "model"))
    store.remove("b" * 24)

    assert made_model("mine") is None
    assert list(made_models()) == []
    assert made_model("../mine") is None


def test_seconds_count_over_attempts_unless_one_was_killed(store: Store) -> None:
    file = store.step("a" * 24) / "attempts.jsonl"
    file.write_text(LINE * 2)
    assert store.attempts("a" * 24) == (2, 5.0)
    file.write_text(LINE + '{"started": 9.0}\n' + LINE)
    assert store.attempts("a" * 24) == (3, None)
