from pathlib import Path

import anyio
import pytest

from punie.models.made import made_model, name_model
from punie.settings import Settings
from punie.training.data.dataset import write_dataset
from punie.training.data.from_sessions import Collected, FromSessionsOptions, manifest_of
from punie.training.errors import TrainingError
from punie.training.learning.deleting import delete_examples, plan_deletion
from punie.training.learning.ledger import learning_folder, look, read_ledger, remember
from punie.training.learning.runs import (
    LearningRun,
    keep_examples,
    kept_examples,
    read_runs,
    run_folder,
    store_of,
    write_run,
)
from punie.training.pipeline.pipeline import open_store
from punie.training.pipeline.store import Record, Store
from tests.training.stored_sessions import StoredSession, says, use

pytestmark = pytest.mark.anyio
OPTIONS = FromSessionsOptions()
READ = use("read_file", path="a.py")


async def seen(settings: Settings, options: FromSessionsOptions = OPTIONS) -> Collected:
    return await anyio.to_thread.run_sync(look, options, settings)


def put(folder: Path | Store, key: str, inputs: list[str], output: str, kind: str = "tune") -> None:
    """Put a finished step into the store, with something in its output."""
    store = folder if isinstance(folder, Store) else store_of(folder)
    store.output(key, "model").mkdir(parents=True)
    (store.output(key, "model") / "weights").write_text("what was learned")
    record = Record(
        kind=kind,
        version=1,
        options={},
        inputs={"dataset": inputs},
        name=key,
        artifact="model",
        output=output,
        started=0,
        ended=1,
        seconds=1,
        attempts=1,
        memory=1,
        bytes=1,
        punie="0",
    )
    store.finish(key, record)


async def learned(folder: Path, settings: Settings, name: str) -> LearningRun:
    """Write down a run that learned what there is now."""
    found = await seen(settings)
    dataset = keep_examples(folder, name, OPTIONS, found)
    run = LearningRun(
        name=name, base="punie-tiny", started=1, examples=1, dataset=dataset.hash, state="learned"
    )
    write_run(folder, run)
    return run


async def test_a_deleted_example_stays_deleted_and_takes_along_what_holds_it(
    session: StoredSession, settings: Settings
) -> None:
    folder = learning_folder(settings)
    other = StoredSession(settings, session.project)
    await other.turn("Hello", says("Hi."))
    await other.aclose()
    clean = await learned(folder, settings, "learned-clean")
    put(folder, "clean", [clean.dataset], "clean-output")
    await session.turn("What is in a.py?", READ, says("x."))
    await session.turn("Fail", use("no_such_tool"), says("Hm."))
    await session.turn("And now?", READ, says("Still x."))
    run = await learned(folder, settings, "learned-both")
    put(folder, "merged", [run.dataset, "rehearsal-output"], "merged-output", "merge")
    put(folder, "tuned", ["merged-output"], "tuned-output")
    put(folder, "rehearsal", [], "rehearsal-output", "generate")
    store = store_of(folder)
    (store.step("unfinished") / ".model.unfinished").mkdir(parents=True)
    name_model("learned-both", store.output("tuned", "model"))
    found = await seen(settings)
    hello, first, second = found.examples.values()

    deletion = plan_deletion(folder, found, [first.id])
    assert deletion.examples == {first.id, second.id}  # the second has it as context
    assert deletion.runs == ("learned-both",)
    deleted = delete_examples(folder, deletion)
    assert deleted.examples == 2
    assert deleted.removed == {"learned-both": ["model", "model"]}
    assert store.all_keys() == ["clean", "rehearsal"]
    assert made_model("learned-both") is None
    assert [run.name for run in read_runs(folder)] == ["learned-clean"]
    assert not run_folder(folder, "learned-both").exists()
    assert [e.id for e in kept_examples(folder, "learned-clean").examples("train")] == [hello.id]
    assert [*(await seen(settings)).examples] == [hello.id]
    # Nor does the session, when it goes on, bring it back.
    await session.turn("Once more", READ, says("x, as ever."))
    assert [*(await seen(settings)).examples] == [hello.id]
    for file in folder.rglob("*"):
        assert not file.is_file() or "What is in a.py?" not in file.read_text()


async def test_what_an_earlier_run_has_can_be_deleted_after_its_session_is_gone(
    session: StoredSession, settings: Settings
) -> None:
    folder = learning_folder(settings)
    await session.turn("What is in a.py?", READ, says("x."))
    run = await learned(folder, settings, "learned-one")
    put(folder, "tuned", [run.dataset], "tuned-output")
    (example,) = kept_examples(folder, "learned-one").examples("train")
    await session.store.delete(session.id)
    found = await seen(settings)
    assert not found.examples
    deletion = plan_deletion(folder, found, [example.id])
    assert deletion.runs == ("learned-one",)
    delete_examples(folder, deletion)
    assert store_of(folder).all_keys() == []


async def test_what_a_pipeline_took_by_itself_is_deleted_too(
    session: StoredSession, settings: Settings
) -> None:
    folder = learning_folder(settings)
    await session.turn("What is in a.py?", READ, says("x."))
    store = open_store()
    for key, project in (("with", session.project), ("without", session.project.parent / "none")):
        put(store, key, [], f"{key}-output", "from-sessions")
        out = store.step(key) / "dataset"
        options = FromSessionsOptions(include=(project,))
        found = await seen(settings, options)
        write_dataset(out, manifest_of(options, found), {"all": found.examples.values()})
        record = store.record(key)
        assert record is not None
        store.finish(key, record.model_copy(update={"artifact": "dataset"}))
        put(store, f"{key}-tuned", [f"{key}-output"], f"{key}-tuned-output")
    found = await seen(settings)
    deletion = plan_deletion(folder, found, [*found.examples])
    assert deletion.steps == ("with",)
    deleted = delete_examples(folder, deletion)
    assert deleted.removed == {"pipelines: with": ["model"]}
    assert store.all_keys() == ["without", "without-tuned"]


async def test_nothing_is_deleted_while_a_step_works_on_it(
    session: StoredSession, settings: Settings
) -> None:
    folder = learning_folder(settings)
    await session.turn("What is in a.py?", READ, says("x."))
    run = await learned(folder, settings, "learned-one")
    put(folder, "tuned", [run.dataset], "tuned-output")
    found = await seen(settings)
    deletion = plan_deletion(folder, found, [*found.examples])
    with store_of(folder).locked("tuned"), pytest.raises(TrainingError, match="stop it first"):
        delete_examples(folder, deletion)
    assert not (await seen(settings)).examples  # it is not learned from again all the same
    assert [run.name for run in read_runs(folder)] == ["learned-one"]
    delete_examples(folder, deletion)
    assert not read_runs(folder)


def test_a_ledger_that_cannot_be_read_is_told_and_not_forgotten(tmp_path: Path) -> None:
    remember(tmp_path, deleted=["a"])
    remember(tmp_path, deleted=["b"], kept=["c"])
    assert read_ledger(tmp_path).deleted == {"a", "b"}
    (tmp_path / "turns.json").write_text("{")
    with pytest.raises(TrainingError, match="not known which examples were deleted"):
        read_ledger(tmp_path)
    with pytest.raises(TrainingError, match="not known which examples were deleted"):
        remember(tmp_path, deleted=["d"])
    assert (tmp_path / "turns.json").read_text() == "{"
