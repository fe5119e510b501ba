import json
from pathlib import Path

import anyio
import pytest
from pydantic_ai.models import Model

from punie.acp.models import LOADING, Loader, ModelPool, Say, default_reference
from punie.models.catalog import BUNDLED_ID, ModelChoice, ModelUnavailable
from punie.models.options import EngineOptions
from punie.models.scripted import ScriptedModel, load_script


@pytest.fixture
def reference(tmp_path: Path) -> str:
    path = tmp_path / "script.json"
    path.write_text(json.dumps({"responses": []}))
    return f"scripted:{path}"


@pytest.mark.anyio
async def test_waiting_is_never_silent_and_a_model_is_opened_once(reference: str) -> None:
    go = anyio.Event()
    opened: list[str] = []

    async def open_slowly(choice: ModelChoice, say: Say, _: EngineOptions) -> ScriptedModel:
        opened.append(choice.id)
        await say("half of it")
        await go.wait()
        await say("all of it")
        return scripted(choice)

    said: list[str] = []
    models: list[Model] = []

    async def say(text: str) -> None:
        said.append(text)

    async def get(pool: ModelPool) -> None:
        models.append(await pool.get(reference, say))

    def loader() -> Loader:
        return open_slowly

    async with anyio.create_task_group() as tasks:
        pool = ModelPool(tasks, EngineOptions(), loader)
        async with anyio.create_task_group() as waiting:
            waiting.start_soon(get, pool)
            waiting.start_soon(get, pool)
            while said.count(LOADING) < 2:
                await anyio.sleep(0.01)
            go.set()
        said.clear()
        await get(pool)
    assert opened == [reference]
    assert models[0] is models[1] is models[2]
    assert said == []


def scripted(choice: ModelChoice) -> ScriptedModel:
    assert choice.path is not None
    return ScriptedModel(load_script(choice.path), choice.id)


@pytest.mark.anyio
async def test_trouble_is_one_sentence_and_is_tried_again(reference: str) -> None:
    attempts = 0

    async def open_badly(choice: ModelChoice, say: Say, _: EngineOptions) -> ScriptedModel:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise ModelUnavailable("The weights are gone; fetch them again.")
        if attempts == 2:
            raise RuntimeError("a secret\nof ours")
        return scripted(choice)

    async def say(text: str) -> None:
        pass

    async with anyio.create_task_group() as tasks:
        pool = ModelPool(tasks, EngineOptions(), lambda: open_badly)
        with pytest.raises(ModelUnavailable, match="fetch them again"):
            await pool.get(reference, say)
        with pytest.raises(ModelUnavailable, match="could not be loaded") as trouble:
            await pool.get(reference, say)
        assert "secret" not in str(trouble.value)
        assert isinstance(await pool.get(reference, say), Model)


def test_the_default_is_what_was_configured_even_if_it_is_missing(
    reference: str, tmp_path: Path
) -> None:
    assert default_reference(reference) == reference
    assert default_reference(str(tmp_path / "missing")) == str(tmp_path / "missing")
    assert default_reference(None) == BUNDLED_ID
