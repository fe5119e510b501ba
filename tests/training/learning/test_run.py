from pathlib import Path

import anyio
import pytest

from punie.settings import Settings, user_settings_file
from punie.training.errors import TrainingError
from punie.training.learning.ledger import learning_folder
from punie.training.learning.options import LearnOptions
from punie.training.learning.run import Prepared, base_model, learn, prepare
from punie.training.learning.runs import (
    Active,
    LearningRun,
    kept_examples,
    read_runs,
    write_active,
    write_run,
)
from punie.training.progress import Interrupted, quiet
from tests.training.stored_sessions import StoredSession, says, use

pytestmark = pytest.mark.anyio
READ = use("read_file", path="a.py")


async def prepared(settings: Settings, **options: object) -> Prepared:
    chosen = LearnOptions.model_validate({"least": 1, "model": "punie-tiny", **options})
    return await anyio.to_thread.run_sync(prepare, chosen, settings)


async def test_equal_examples_are_one_run_and_a_begun_one_goes_on(
    session: StoredSession, settings: Settings
) -> None:
    folder = learning_folder(settings)
    await session.turn("What is in a.py?", READ, says("x."))
    first = await prepared(settings)
    assert (first.run.state, first.run.examples, first.goes_on) == ("begun", 1, False)
    other = StoredSession(settings, session.project)
    await other.turn("Hello", says("Hi."))
    await other.aclose()
    again = await prepared(settings)
    assert (again.run, again.goes_on) == (first.run, True)  # with what it began with
    write_run(folder, first.run.model_copy(update={"state": "learned"}))
    new = await prepared(settings)
    assert (new.run.examples, new.goes_on) == (2, False)
    assert new.run.name != first.run.name
    assert [
        *map(len, [[*kept_examples(folder, r.name).examples("train")] for r in read_runs(folder)])
    ] == [1, 2]
    write_run(folder, new.run.model_copy(update={"state": "learned"}))
    same = await prepared(settings)
    assert (same.run.name, same.run.state) == (new.run.name, "learned")
    changed = await prepared(settings, rehearsal=0.7, values={"tune.rank": 2})
    assert changed.run.name != new.run.name
    assert changed.recipe.steps["tune"]["rank"] == 2


async def test_how_a_run_ended_is_kept(session: StoredSession, settings: Settings) -> None:
    folder = learning_folder(settings)
    await session.turn("What is in a.py?", READ, says("x."))

    async def begin(**options: object) -> None:
        ready = await prepared(settings, **options)
        await anyio.to_thread.run_sync(learn, ready, settings, quiet, lambda: True)

    with pytest.raises(Interrupted):
        await begin()
    (run,) = read_runs(folder)
    assert run.state == "stopped"
    assert (await prepared(settings)).goes_on
    with pytest.raises(TrainingError, match=r"steps\.tune: rank: .*greater than or equal to 1"):
        await begin(values={"tune.rank": 0})
    failed = read_runs(folder)[-1]
    assert failed.state == "failed"
    assert "rank" in failed.sentence


async def test_too_little_and_what_cannot_learn_are_said(
    session: StoredSession, settings: Settings
) -> None:
    with pytest.raises(TrainingError, match="no accepted turn in your sessions"):
        await prepared(settings)
    await session.turn("Hello", says("Hi."))
    with pytest.raises(
        TrainingError, match="There is 1 example in your sessions, and less than 10"
    ):
        await prepared(settings, least=10)
    with pytest.raises(TrainingError, match="openai:big is no model on this machine"):
        await prepared(settings, model="openai:big")
    user_settings_file().write_text("")
    with pytest.raises(TrainingError, match="unless you allow it"):
        await prepared(settings.model_copy(update={"learn_from_sessions": False}))
    assert not read_runs(learning_folder(settings))


def test_learning_never_begins_with_what_was_learned(settings: Settings, tmp_path: Path) -> None:
    folder = learning_folder(settings)
    run = LearningRun(name="learned-1", base="org/base", started=1, examples=1, dataset="d")
    write_run(folder, run)
    write_active(folder, Active(run="learned-1", before="org/base"))
    using = settings.model_copy(update={"model": "learned-1"})
    assert base_model(None, using, folder) == "org/base"
    assert base_model("learned-1", settings, folder) == "org/base"
    assert base_model("org/other", using, folder) == "org/other"
    assert base_model(None, settings, folder) == "punie-tiny"
